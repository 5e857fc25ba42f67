#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernels' own tests, as tests/cross/wasm.sh has built them, in browsers.
set -euo pipefail
cd "$(dirname "$0")"
skip() {
  echo "skipped: $1"
  exit 77
}
export KERNELS=$BUILD/wasm FIREFOX
FIREFOX=${FIREFOX:-$(command -v firefox-esr || command -v firefox || true)}
[ -f "$KERNELS/relaxed/test_wasm.wasm" ] || skip "no kernels in $KERNELS: tests/cross/wasm.sh makes them"
[ -n "${CHROMIUM:-}$FIREFOX" ] || skip "no browser here"
node --test --test-force-exit --test-timeout=120000 kernels.test.mjs
