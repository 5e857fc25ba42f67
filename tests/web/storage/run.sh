#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The shard store: its logic under Node, the rest in Chromium against a misbehaving server. Started
# by web_test.sh.
set -euo pipefail
cd "$(dirname "$0")"
run() {
  node --disable-warning=ExperimentalWarning --test --test-concurrency=1 --test-timeout=120000 "$@"
}
run ./unit.test.mjs
if ! [ -x "${CHROMIUM:-}" ]; then
  echo "skipped: no chromium here (Debian: chromium); what needs none has passed"
  exit 77
fi
run ./loading.test.mjs ./faults.test.mjs ./serving.test.mjs
