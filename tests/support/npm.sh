# SPDX-License-Identifier: Apache-2.0
# Sourced by tests in Node: skip WHY; packages PROJECT; node on the PATH, and CHROMIUM where there is
# one. In the environment: SOURCE, BUILD.
: "${SOURCE:?}" "${BUILD:?}"

skip() {
  echo "skipped: $1"
  exit 77
}

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

command -v npm >/dev/null || skip "no npm here"
node=$("$SOURCE/tools/node.sh" 2>&1) || skip "$node"
PATH=$(dirname "$node"):$PATH
for browser in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser; do
  [ -x "$browser" ] || continue
  CHROMIUM=$browser
  break
done
export PATH CHROMIUM
