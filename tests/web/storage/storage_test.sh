#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs FILE.test.mjs: storage_test.sh FILE. Skips where Node, npm's packages or Chromium are missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
web=$here/../../../web

skip() {
  echo "skipped: $1"
  exit 0
}
node=$("$here/../../../tools/node.sh" 2>&1) || skip "$node"
if [ "$1" != unit ]; then
  [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || skip "no chromium here (Debian: chromium)"
fi
if ! [ -d "$web/node_modules/playwright-core" ]; then
  command -v npm >/dev/null || skip "no npm here"
  (
    flock 9  # tests run side by side
    [ -d "$web/node_modules/playwright-core" ] && exit 0
    cd "$web" && PATH=$(dirname "$node"):$PATH npm ci >/dev/null 2>&1 9>&-
  ) 9>"$web/.install-lock" || skip "npm ci failed in web/"
fi
exec "$node" --test --test-timeout=120000 "$here/$1.test.mjs"
