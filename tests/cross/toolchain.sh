# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts that compile for WebAssembly: wasm_toolchain prints nothing and succeeds where
# that can be done, else it prints what is missing and fails.

wasm_toolchain() {
  local version= v
  local packages='clang-22 lld-22 libc++-22-dev-wasm32 libc++abi-22-dev-wasm32 libclang-rt-22-dev-wasm32'
  for v in 19 22; do
    if command -v "clang++-$v" && ls /usr/lib/llvm-$v/lib/clang/*/lib/wasi; then version=$v; fi
  done >/dev/null 2>&1
  if [ -z "$version" ]; then
    echo "no clang with wasm32 libraries (Debian: $packages)"
  elif ! [ -f /usr/lib/wasm32-wasi/libc++.a ]; then
    echo "libc++ for wasm32 is missing (Debian: $packages)"
  elif ! [ -f /usr/lib/wasm32-wasi/libc.a ]; then
    echo "its libc is missing (Debian: wasi-libc)"
  elif ! command -v "wasm-ld-$version" >/dev/null; then
    echo "wasm-ld-$version is missing (Debian: lld-$version)"
  elif ! command -v ninja >/dev/null; then
    echo "no ninja (Debian: ninja-build)"
  else
    return 0
  fi
  return 1
}
