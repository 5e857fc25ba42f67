#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The real daemon, spoken to by curl, ws and the official openai client.
# shellcheck source-path=SCRIPTDIR/.. source=lib.sh
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

for tool in node npm curl; do
  command -v "$tool" >/dev/null || { echo "skipped: no $tool here"; exit 0; }
done
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || { echo "skipped: node $major is older than 20"; exit 0; }

# The packages, once per lock file.
kept=$BUILD/e2e-daemon
mkdir -p "$kept"
if ! cmp -s "$here/package-lock.json" "$kept/installed-lock.json"; then
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$kept/"
  if ! (cd "$kept" && npm ci >npm.log 2>&1); then
    echo "skipped: npm ci failed: $(grep -m1 'code\|ERR' "$kept/npm.log")"
    exit 0
  fi
  cp "$here/package-lock.json" "$kept/installed-lock.json"
fi
cp "$here"/*.mjs "$kept/"

SCHEMA=$SOURCE/protocol/lamina.v1.schema.json WORK=$work \
  node --test --test-concurrency=1 "$kept/$1.test.mjs" || fail "$1.test.mjs"
finish
