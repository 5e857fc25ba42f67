#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# www_test.sh unit: types and unit tests of the page. www_test.sh e2e [FILE...]: the built page in
# Chromium, against a static host and the daemon. A part that cannot run prints "skipped: WHY" and
# ends with 77. In its environment: SOURCE, BUILD, and for e2e LAMINA, BUILT_MODEL, LAMINA_MODULES
# (default build/wasm).
set -euo pipefail
part=$1
shift
. "${SOURCE:?}/tests/support/npm.sh"
packages web
packages www
cd "$SOURCE/www"

if [ "$part" = unit ]; then
  npx tsc --noEmit -p tsconfig.json
  exec npx vitest run "$@"
fi

[ -n "${CHROMIUM:-}" ] || skip "no Chromium here"
export LAMINA_MODULES=${LAMINA_MODULES:-$SOURCE/build/wasm}
[ -f "$LAMINA_MODULES/lamina-simd128-single.wasm" ] ||
  skip "no modules in $LAMINA_MODULES: cmake --workflow --preset wasm makes them"
export LAMINA_DEMO_MODEL=${BUILT_MODEL:?} LAMINA_WWW_OUT=$BUILD/www
npx vite build --logLevel warn >"$BUILD/web/www-build.log"
cd "$SOURCE/tests/www/e2e"
[ $# -gt 0 ] || set -- *.test.ts
exec node --test --test-force-exit --test-concurrency=1 --test-timeout=300000 "$@"
