#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The real daemon, spoken to by curl, ws and the official openai client: daemon_test.sh PART runs
# PART.test.mjs.
# shellcheck source-path=SCRIPTDIR/.. source=lib.sh
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

skip() {
  echo "skipped: $1"
  exit 77
}
for tool in npm curl; do
  command -v "$tool" >/dev/null || skip "no $tool here"
done
node=$("$SOURCE/tools/node.sh" 2>node.err) || skip "$(cat node.err)"

# The packages, once per lock file, for tests that run side by side.
kept=$BUILD/e2e-daemon
mkdir -p "$kept"
(
  flock 9
  cmp -s "$here/package-lock.json" "$kept/installed-lock.json" && exit 0
  cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$kept/"
  cd "$kept" && npm ci >npm.log 2>&1 9>&- && cp package-lock.json installed-lock.json
) 9>"$kept/lock" || skip "npm ci failed: $(grep -m1 'code\|ERR' "$kept/npm.log")"
ln -s "$kept/node_modules" node_modules
cp "$here"/*.mjs .

SCHEMA=$SOURCE/protocol/lamina.v1.schema.json WORK=$work \
  "$node" --test --test-concurrency=1 --test-timeout=300000 "$1.test.mjs" 2>&1 | tee log
[ "${PIPESTATUS[0]}" -eq 0 ] || fail "$1.test.mjs"
finish
! grep -q '^skipped: ' log || exit 77
