#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs operators, decoding and a prompt under Vulkan's validation layer, which must have nothing to say.
#   validation.sh FOLDER-OF-PROGRAMS
set -uo pipefail
bin=$1
layer=VK_LAYER_KHRONOS_validation

find /usr/share/vulkan /etc/vulkan -name '*validation*.json' 2>/dev/null | grep -q . || {
  echo "skipped: no validation layer here (Debian: vulkan-validationlayers)"
  exit 77
}
filter='*matmul_add/vulkan_i8:*qkv_rope/vulkan_f16:*logits/vulkan_i8:Gpu/Decode*'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
VK_INSTANCE_LAYERS=$layer VK_LOADER_DEBUG=layer "$bin/test_conformance" --gtest_filter="$filter" \
  >"$log" 2>&1 || { tail -n 40 "$log"; exit 1; }
why=$(grep -m1 -o 'skipped: no Vulkan.*' "$log") && { echo "$why"; exit 77; }
grep -q "$layer" "$log" || { echo "the validation layer was not loaded"; exit 1; }
if grep -iE 'validation (error|warning|performance)|VUID-|UNASSIGNED-' "$log" | cut -c1-600 | sort -u | head -20; then
  exit 1
fi
echo "the validation layer is silent"
