#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests of web/webgpu in Node, on Dawn and a software Vulkan device; see tests/web/web_test.sh.
set -euo pipefail
cd "$(dirname "$0")"

if [ -z "${VK_DRIVER_FILES:-}" ]; then
  for icd in /usr/lib/chromium/vk_swiftshader_icd.json /usr/share/vulkan/icd.d/lvp_icd*.json; do
    [ -f "$icd" ] && export VK_DRIVER_FILES=$icd && break
  done
fi
[ -n "${VK_DRIVER_FILES:-}" ] || { echo "skipped: no software Vulkan device (Debian: chromium, or mesa-vulkan-drivers)"; exit 77; }
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
exec node --no-warnings --test --test-concurrency=1 --test-force-exit --test-reporter=spec ./*.test.ts
