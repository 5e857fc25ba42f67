#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# www_test.sh unit: types and unit tests of the page. www_test.sh e2e|firefox [FILE...]: the built page
# in Chromium or in Firefox, against a static host and the daemon. A part that cannot run prints
# "skipped: WHY" and ends with 77. In its environment: SOURCE, BUILD, and for the built page LAMINA,
# BUILT_MODEL, LAMINA_MODULES (default build/wasm).
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

if [ "$part" = firefox ]; then
  export FIREFOX=${FIREFOX:-$(command -v firefox-esr || command -v firefox || true)}
  [ -n "$FIREFOX" ] || skip "no Firefox here (Debian: firefox-esr)"
else
  [ -n "${CHROMIUM:-}" ] || skip "no Chromium here"
fi
export LAMINA_MODULES=${LAMINA_MODULES:-$SOURCE/build/wasm}
[ -f "$LAMINA_MODULES/lamina-simd128-single.wasm" ] ||
  skip "no modules in $LAMINA_MODULES: cmake --workflow --preset wasm makes them"
export LAMINA_DEMO_MODEL=${BUILT_MODEL:?} LAMINA_WWW_OUT=$BUILD/www
npx vite build --logLevel warn >"$BUILD/web/www-build.log"
cd "$SOURCE/tests/www/$part"
[ $# -gt 0 ] || set -- *.test.ts
exec node --test --test-force-exit --test-concurrency=1 --test-timeout=300000 "$@"
