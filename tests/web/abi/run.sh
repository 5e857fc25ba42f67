#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the four WebAssembly modules (preset wasm) and runs their suite in Node and, where there is
# one, in Chromium, against the native program. Prints "skipped: why" for what cannot be run here.
#   LAMINA=build/dev/bin/lamina tests/web/abi/run.sh [node|chromium]
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tools/packages.sh

skip() {
  echo "skipped: the browser's modules: $1"
  exit 0
}

version=
for v in 19 22; do
  if command -v "clang++-$v" && ls /usr/lib/llvm-$v/lib/clang/*/lib/wasi; then version=$v; fi
done >/dev/null 2>&1
packages='clang-22 lld-22 libc++-22-dev-wasm32 libc++abi-22-dev-wasm32 libclang-rt-22-dev-wasm32'
[ -n "$version" ] || skip "no clang with wasm32 libraries (Debian: $packages)"
[ -f /usr/lib/wasm32-wasi/libc++.a ] || skip "libc++ for wasm32 is missing (Debian: $packages)"
[ -f /usr/lib/wasm32-wasi/libc.a ] || skip "its libc is missing (Debian: wasi-libc)"
command -v "wasm-ld-$version" >/dev/null || skip "wasm-ld-$version is missing (Debian: lld-$version)"
node=$(tools/node.sh) || skip "no Node 22"
[ -d web/node_modules/binaryen ] || skip "web/node_modules is missing: npm ci in web/"

quietly build/log/wasm-configure.log cmake --preset wasm
quietly build/log/wasm-build.log cmake --build --preset wasm
grep -h 'brotli' build/log/wasm-build.log || true
"$node" --no-warnings tests/web/abi/run.mjs "${LAMINA:?the native program}" "$PWD/build/wasm" \
  "$PWD/build/wasm-suite" "${1:-}"
