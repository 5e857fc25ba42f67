#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lamina beside its peers on this machine: rounds take turns, so that noise hits all alike, and the
# table gives medians and ratios.
#
#   bench/compare.sh [-r ROUNDS] [-t THREADS] [-p PROMPT] [-n GEN] [-l LAMINA] [-s SHAPE]
#                    NAME=LLAMA_BENCH:MODEL.gguf[:ARGS] ...
# e.g.
#   bench/compare.sh -s tinyllama-1.1b \
#     "llama.cpp=$HOME/llama.cpp/build/bin/llama-bench:$HOME/tinyllama-q8_0.gguf" \
#     "ik=$HOME/ik_llama.cpp/build/bin/llama-bench:$HOME/tinyllama-q8_0.gguf:-rtr 1"
# A peer is any llama-bench; MODEL holds the same shape in Q8_0 (random weights will do).
set -euo pipefail
rounds=3 threads=2 prompt=512 gen=128 shape=tinyllama-1.1b
lamina=$(dirname "$0")/../build/release/bin/lamina
while getopts r:t:p:n:l:s: flag; do
  case $flag in
    r) rounds=$OPTARG ;; t) threads=$OPTARG ;; p) prompt=$OPTARG ;;
    n) gen=$OPTARG ;; l) lamina=$OPTARG ;; s) shape=$OPTARG ;;
    *) sed -n 3,13p "$0" >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
results=$(mktemp)
trap 'rm -f "$results"' EXIT

# record NAME: reads llama-bench style JSON, appends "NAME pp|tg tokens_per_second".
record() {
  tr -d ' \n' | grep -oE '"n_prompt":[0-9]+|"n_gen":[0-9]+|"avg_ts":[0-9.]+' |
    awk -F: -v name="$1" '
      /n_prompt/ { p = $2 } /n_gen/ { g = $2 }
      /avg_ts/ { print name, (g > 0 ? "tg" : "pp"), $2 }' >>"$results"
}

median() { # NAME pp|tg
  awk -v n="$1" -v k="$2" '$1 == n && $2 == k { print $3 }' "$results" | sort -g |
    awk '{ v[NR] = $1 } END { if (NR) print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}

for ((round = 1; round <= rounds; round++)); do
  echo "round $round of $rounds" >&2
  "$lamina" bench --synthetic "$shape" --dtype i8 -t "$threads" -p "$prompt" -n "$gen" -r 1 -o json |
    record lamina
  for peer in "$@"; do
    name=${peer%%=*} spec=${peer#*=}
    IFS=: read -r binary model args <<<"$spec"
    # shellcheck disable=SC2086
    "$binary" -m "$model" -t "$threads" -p "$prompt" -n "$gen" -r 1 -o json ${args:-} 2>/dev/null |
      record "$name"
  done
done

printf '| %s, %s threads | prefill %s | ratio | decode %s | ratio |\n|---|---|---|---|---|\n' \
  "$shape int8" "$threads" "$prompt" "$gen"
for name in lamina "${@%%=*}"; do
  pp=$(median "$name" pp) tg=$(median "$name" tg)
  awk -v n="$name" -v p="$pp" -v t="$tg" -v lp="$(median lamina pp)" -v lt="$(median lamina tg)" \
    'BEGIN { printf "| %s | %.1f | %.2f | %.2f | %.2f |\n", n, p, lp / p, t, lt / t }'
done
echo "ratio: Lamina's tokens per second over the row's."
