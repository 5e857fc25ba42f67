#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles the CPU kernels and their tests to WebAssembly, once for SIMD128 and once with relaxed
# SIMD beside it, and runs them in Node, with relaxed SIMD also as a processor without VNNI would.
# aarch64.sh runs them on 64-bit ARM. Exit status 77: cannot be run here, "skipped: why" is printed.
#   tests/cross/wasm.sh [BUILD_FOLDER]      default: build/wasm-tests
#   NODE=/path/to/node tests/cross/wasm.sh  default: tools/node.sh's; before Node 22: no relaxed SIMD
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh
. tests/cross/toolchain.sh

build=${1:-build/wasm-tests}
node=${NODE:-$(tools/node.sh || echo node)}

skip() {
  echo "skipped: WebAssembly: $1"
  exit 77
}

why=$(wasm_toolchain) || skip "$why"
command -v "$node" >/dev/null || skip "no node to run it"
[ -f /usr/src/googletest/CMakeLists.txt ] ||
  skip "GoogleTest's sources are missing (Debian: googletest)"
[ -f /usr/include/nlohmann/json.hpp ] ||
  skip "nlohmann/json.hpp is missing (Debian: nlohmann-json3-dev)"

# try NAME FOLDER COMMAND…: runs the tests built in FOLDER by COMMAND, which is some Node.
try() {
  local name=$1 folder=$build/$2 status=0 log=$build/${1// /-}.log
  shift 2
  "$@" --no-warnings tests/cross/wasi.mjs "$folder/test_wasm.wasm" >"$log" 2>&1 || status=$?
  case $status in
    0)
      echo "WebAssembly, $name: $(awk '/^\[  PASSED  \]/ { print $4 }' "$log") passed by" \
        "$(grep -o '/wasm[a-z0-9_]* ' "$log" | sort -u | tr -d '/\n')"
      ;;
    77) echo "WebAssembly, $name: built, not run: $("$node" --version) lacks instructions it needs" ;;
    *)
      tail -n 60 "$log" >&2
      return 1
      ;;
  esac
}

# build FOLDER RELAXED
build() {
  quietly "$build/$1-configure.log" cmake -G Ninja -S tests/cross -B "$build/$1" \
    -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/toolchain-wasm32.cmake" -DCMAKE_BUILD_TYPE=Release \
    -DLAMINA_WASM_RELAXED="$2"
  quietly "$build/$1-build.log" cmake --build "$build/$1" --target test_wasm
}

build simd128 OFF
try simd128 simd128 "$node"
build relaxed ON
try relaxed relaxed "$node"
if "$node" --v8-options | grep -q -e --enable-avx-vnni; then
  try 'relaxed without VNNI' relaxed "$node" --no-enable-avx-vnni
fi
