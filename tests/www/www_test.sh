#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# www_test.sh unit: types and unit tests of the page. www_test.sh e2e [FILE...]: the built page in
# Chromium, against a static host and the daemon. A part that cannot run prints "skipped: WHY" and
# ends with 77. In its environment: SOURCE, BUILD, and for e2e LAMINA, BUILT_MODEL, LAMINA_MODULES
# (default build/wasm).
set -euo pipefail
: "${SOURCE:?}" "${BUILD:?}"
part=$1
shift

skip() {
  echo "skipped: $1"
  exit 77
}
command -v npm >/dev/null || skip "no npm here"
node=$("$SOURCE/tools/node.sh" 2>&1) || skip "$node"
PATH=$(dirname "$node"):$PATH
export PATH

# A project's packages, once per lock file, for tests that run side by side.
packages() {
  local installed=$SOURCE/$1/node_modules/.lamina-lock.json
  mkdir -p "$BUILD/web"
  (
    flock 9
    cmp -s "$SOURCE/$1/package-lock.json" "$installed" && exit 0
    cd "$SOURCE/$1" && npm ci >"$BUILD/web/npm-$1.log" 2>&1 9>&- && cp package-lock.json "$installed"
  ) 9>"$BUILD/web/lock" || skip "npm ci failed: $(grep -m1 'code\|ERR' "$BUILD/web/npm-$1.log")"
}
packages web
packages www
cd "$SOURCE/www"

if [ "$part" = unit ]; then
  npx tsc --noEmit -p tsconfig.json
  exec npx vitest run "$@"
fi

for browser in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser; do
  if [ -x "$browser" ]; then
    export CHROMIUM=$browser
    break
  fi
done
[ -n "${CHROMIUM:-}" ] || skip "no Chromium here"
export LAMINA_MODULES=${LAMINA_MODULES:-$SOURCE/build/wasm}
[ -f "$LAMINA_MODULES/lamina-simd128-single.wasm" ] ||
  skip "no modules in $LAMINA_MODULES: cmake --workflow --preset wasm makes them"
export LAMINA_DEMO_MODEL=${BUILT_MODEL:?} LAMINA_WWW_OUT=$BUILD/www
npx vite build --logLevel warn >"$BUILD/web/www-build.log"
cd "$SOURCE/tests/www/e2e"
[ $# -gt 0 ] || set -- *.test.ts
exec node --test --test-force-exit --test-concurrency=1 --test-timeout=300000 "$@"
