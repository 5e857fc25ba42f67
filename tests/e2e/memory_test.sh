#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory: what a model would take, and running in less.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# What it would take, in a table and as JSON; nothing is run.
lamina run --dry-run
exits 0 "--dry-run"
prints '^backend +cpu .*chosen because' "--dry-run"
prints '^host memory: .* free' "--dry-run"
for item in weights 'KV cache' activations together; do prints "^  $item +[0-9.]+ [kMG]?B" "--dry-run"; done
silent_stderr "--dry-run"
lamina run --dry-run --json --backend cpu -c 256
exits 0 "--dry-run --json"
planned=$(json heaps.0.items.weights)
same "$(json layers) $(json resident_layers) $(json swapped_bytes_per_step)" "8 8 0" "--dry-run --json"
kv=$(json "heaps.0.items.KV cache")
lamina run --json -q --temp 0 -n 2 --backend cpu -c 256 -p hi
same "$(json memory.weight_bytes)" "$planned" "the planned weights"
[ "$(json memory.kv_bytes)" -ge "$kv" ] || fail "the KV cache is smaller than was planned"

lamina run --memory-budget 12Q -p x
exits 2 "--memory-budget 12Q"
says "not a size" "--memory-budget 12Q"
lamina run --memory-budget 4K -p x
exits 2 "--memory-budget 4K"

lamina run --memory-budget 1G -n 1 -p x
exits 0 "--memory-budget without a GPU"
says "warning: --memory-budget is for a GPU" "--memory-budget without a GPU"

# With no driver, the way to one.
lamina run --backend vulkan -p x
exits 6 "no driver"
says "no driver.*install" "no driver"

with_gpu lamina doctor --json
grep -q '"self-test gpu 0"' out || {
  echo "no Vulkan device here: budgets are not tried"
  finish
  exit 0
}
grep -q '"kernels of gpu 0"' out || fail "doctor does not say which kernels a GPU gets"
vulkan="--backend vulkan -c 128"
# shellcheck disable=SC2086
with_gpu lamina run --json -q --temp 0 -n 6 $vulkan -p 'What is 2+3?'
whole=$(json text)
same "$(json memory.swapped_bytes_per_step)" 0 "everything fits"
# shellcheck disable=SC2086
with_gpu lamina run --dry-run --json $vulkan
needed=$(json heaps.0.needed)
least=0
for part in 1 60; do
  budget=$((needed - needed * part / 200))
  # shellcheck disable=SC2086
  with_gpu lamina run --dry-run --json $vulkan --memory-budget "$budget"
  exits 0 "--dry-run of $budget"
  [ "$(json heaps.0.needed)" -le "$budget" ] || fail "$budget: the plan is larger"
  resident=$(json resident_layers)
  [ "$resident" -lt 8 ] || fail "$budget: nothing is swapped"
  least=$(json heaps.0.needed)
  # shellcheck disable=SC2086
  with_gpu lamina run --json -q --temp 0 -n 6 $vulkan --memory-budget "$budget" -p 'What is 2+3?'
  exits 0 "--memory-budget $budget"
  same "$(json text)" "$whole" "--memory-budget $budget"
  same "$(json memory.resident_layers)" "$resident" "--memory-budget $budget"
done
# shellcheck disable=SC2086
with_gpu lamina run $vulkan --memory-budget "$least" -n 4 -p x
says '^layers +[0-9]+ of 8 stay' "the summary of a swapping run"

# Too little says what there is and what to do.
# shellcheck disable=SC2086
with_gpu lamina run $vulkan --memory-budget 2M -p x
says 'at least .*KV cache .*budget is 2.00 MiB.*--memory-budget' "--memory-budget 2M"
[ "$status" -ne 0 ] || fail "--memory-budget 2M runs"
one_error_line "--memory-budget 2M"
finish
