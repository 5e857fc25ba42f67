#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The built package in Firefox: WebAssembly, and WebGPU with shader-f16 on lavapipe. With the modules
# of the wasm preset (LAMINA_MODULES, default build/wasm).
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
modules=${LAMINA_MODULES:-$SOURCE/build/wasm}
skip() {
  echo "skipped: $1"
  exit 77
}
[ -f "$modules/lamina-simd128-single.wasm" ] ||
  skip "no modules in $modules: cmake --workflow --preset wasm makes them"
FIREFOX=${FIREFOX:-$(command -v firefox-esr || command -v firefox || true)}
[ -n "$FIREFOX" ] || skip "no Firefox here (Debian: firefox-esr)"
lavapipe=$(find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -n 1)
export FIREFOX PACKAGE=$work/package VK_DRIVER_FILES=${lavapipe:-/nonexistent}
node "$SOURCE/web/engine/build.mjs" "$modules" "$PACKAGE"
node --test --test-force-exit --test-timeout=300000 engine.test.mjs
