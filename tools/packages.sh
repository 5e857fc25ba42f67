# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by ./run and ./test: installs the Debian packages that are missing.

build_packages=(g++ cmake ninja-build ccache nlohmann-json3-dev libcli11-dev libedit-dev libssl-dev libasio-dev libwebsocketpp-dev libspdlog-dev prometheus-cpp-dev libvulkan-dev glslang-tools)
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev clang libclang-rt-14-dev libicu-dev mesa-vulkan-drivers spirv-tools vulkan-validationlayers)
cross_packages=(g++-12-aarch64-linux-gnu qemu-user-static googletest)
# The kernels as WebAssembly: the compiler and its libraries (Debian's security suite), and what runs it.
wasm_packages=(clang-22 lld-22 libc++-22-dev-wasm32 libc++abi-22-dev-wasm32 libclang-rt-22-dev-wasm32 wasi-libc googletest)
# The browser engines: a real browser, and SwiftShader with it; another, whose WebGPU has shader-f16.
web_packages=(chromium)
firefox_packages=(firefox-esr)
# The daemon's clients.
client_packages=(curl)

# install_packages NAME...: quiet when nothing is missing.
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null; then
    echo "Not a Debian system: install the equivalents of ${missing[*]} and run this again." >&2
    return 1
  fi
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "Missing packages: ${missing[*]}. Install them as root, then run this again." >&2
      return 1
    }
    sudo=(sudo)
  fi
  echo "Installing ${#missing[@]} packages: ${missing[*]}" >&2
  "${sudo[@]}" apt-get update -qq >&2 || true  # a stale index may still do
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/tmp/lamina-apt.$$ 2>&1 || {
    tail -n 20 "/tmp/lamina-apt.$$" >&2
    rm -f "/tmp/lamina-apt.$$"
    return 1
  }
  rm -f "/tmp/lamina-apt.$$"
}

# quietly LOG COMMAND...: shows the command's output only when it fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || {
    tail -n 60 "$log" >&2
    echo "Failed: $* (whole output in $log)" >&2
    return 1
  }
}
