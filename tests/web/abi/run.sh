#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the four WebAssembly modules (preset wasm) and runs their suite in Node and, where there is
# one, in Chromium, against the native program. Ends with 77, and why, where a tool is missing.
#   LAMINA=build/dev/bin/lamina tests/web/abi/run.sh [node|chromium]
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tools/packages.sh
. tests/cross/toolchain.sh

skip() {
  echo "skipped: the browser's modules: $1"
  exit 77
}

why=$(wasm_toolchain) || skip "$why"
node=$(tools/node.sh) || skip "no Node 22"
[ -d web/node_modules/binaryen ] || skip "web/node_modules is missing: npm ci in web/"

quietly build/log/wasm-configure.log cmake --preset wasm
quietly build/log/wasm-build.log cmake --build --preset wasm
grep -h 'brotli' build/log/wasm-build.log || true
"$node" --no-warnings tests/web/abi/run.mjs "${LAMINA:?the native program}" "$PWD/build/wasm" \
  "$PWD/build/wasm-suite" "${1:-}"
