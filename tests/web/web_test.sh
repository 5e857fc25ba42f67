#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# web_test.sh ROOM [PART]: runs tests/web/ROOM/run.sh PART with node on the PATH and web/'s packages installed.
# A script that lacks a tool prints "skipped: WHY" and ends with 77. In its environment: LAMINA, SOURCE,
# BUILD, BUILT_MODEL, and CHROMIUM where there is one.
set -euo pipefail
: "${SOURCE:?}" "${BUILD:?}"

skip() {
  echo "skipped: $1"
  exit 77
}
command -v npm >/dev/null || skip "no npm here"
node=$("$SOURCE/tools/node.sh" 2>&1) || skip "$node"
PATH=$(dirname "$node"):$PATH
export PATH

# web/'s packages, once per lock file, for tests that run side by side.
mkdir -p "$BUILD/web"
(
  flock 9
  installed=$SOURCE/web/node_modules/.lamina-lock.json
  cmp -s "$SOURCE/web/package-lock.json" "$installed" && exit 0
  cd "$SOURCE/web" && npm ci >"$BUILD/web/npm.log" 2>&1 9>&- && cp package-lock.json "$installed"
) 9>"$BUILD/web/lock" || skip "npm ci failed: $(grep -m1 'code\|ERR' "$BUILD/web/npm.log")"

for browser in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser; do
  if [ -x "$browser" ]; then
    export CHROMIUM=$browser
    break
  fi
done
exec bash "$SOURCE/tests/web/$1/run.sh" "${@:2}"
