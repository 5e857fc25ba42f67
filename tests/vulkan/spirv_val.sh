#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# spirv_val.sh FOLDER: validates every SPIR-V module in it.
set -u
if ! command -v spirv-val >/dev/null; then
  echo "skipped: spirv-val is not installed (spirv-tools)"
  exit 77
fi
n=0 bad=0
for module in "$1"/*.spv; do
  [ -f "$module" ] || continue
  n=$((n + 1))
  spirv-val --target-env vulkan1.2 --scalar-block-layout "$module" || {
    echo "invalid: $module"
    bad=$((bad + 1))
  }
done
echo "$n modules, $bad invalid"
[ "$n" -gt 0 ] && [ "$bad" -eq 0 ]
