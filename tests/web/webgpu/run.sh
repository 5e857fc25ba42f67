#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests of web/webgpu in Node, on Dawn and a software Vulkan device; see tests/web/web_test.sh.
set -euo pipefail
cd "$(dirname "$0")"

# Dawn refuses Debian 12's lavapipe (no dynamic indexing of uniform arrays), so Chromium's driver it is.
icd=/usr/lib/chromium/vk_swiftshader_icd.json
export VK_DRIVER_FILES=${VK_DRIVER_FILES:-$icd}
[ -f "$VK_DRIVER_FILES" ] || { echo "skipped: no software Vulkan device (Debian: chromium)"; exit 77; }
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
exec node --no-warnings --test --test-concurrency=2 --test-force-exit --test-reporter=spec ./*.test.ts
