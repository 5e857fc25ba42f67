#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lamina run on the demo model.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# No model, no prompt: a story by the demo model, alone on stdout.
lamina run --temp 0
exits 0 "no arguments"
says 'No prompt given' "no arguments"
says '^prompt .* tokens/s' "summary"
says '^memory .*weights.*KV.*activations.*resident' "summary"
says "^backend .*chosen because Vulkan" "summary"
prints 'fox.*lantern|lantern' "no arguments"
story=$(cat out)

# Temperature 0 is the same every time, on any number of threads, and -q leaves stderr empty.
for threads in 1 2 3; do
  lamina run --temp 0 -q -t "$threads" -p "Tell me a story about a fox and a lantern."
  exits 0 "temp 0, $threads threads"
  same "$(cat out)" "$story" "temp 0, $threads threads"
done
lamina run --temp 0 -q -t 1 -p "Tell me a story about a fox and a lantern."
silent_stderr "-q"

# A seed is the same answer; another seed is another.
lamina run -q --seed 5 --temp 1.5
first=$(cat out)
lamina run -q --seed 5 --temp 1.5
same "$(cat out)" "$first" "a seed repeated"
lamina run -q --seed 6 --temp 1.5
[ "$(cat out)" != "$first" ] || fail "another seed gives the same text"

# The transformers reference's greedy answers (i8 weights may part from them; f16 must begin alike).
"$LAMINA" convert -q --dtype f16 "$SOURCE/tests/models/storyteller" f16 || fail "convert to f16"
reference=$SOURCE/tests/models/storyteller/reference.json
for i in 0 1 2 3 4 5; do
  json "greedy.$i.prompt" "$reference" >prompt
  lamina_on prompt run -m f16 --raw --special --temp 0 -q --kv f32 -n 24
  exits 0 "reference $i"
  json "greedy.$i.greedy_text" "$reference" >want
  case $(cat want) in "$(cat out)"*) ;; *) fail "reference $i: '$(cat out)' does not begin '$(cat want)'" ;; esac
done

# The prompt from a flag, a file and a pipe is the same prompt.
printf 'What is 2+3?\n' >question  # the newline at the end is not part of it, except with --raw
lamina run --temp 0 -q -p 'What is 2+3?'
answer=$(cat out)
lamina run --temp 0 -q -f question
same "$(cat out)" "$answer" "-f"
lamina_on question run --temp 0 -q
same "$(cat out)" "$answer" "standard input"
lamina_on question run --temp 0 -q -f -
same "$(cat out)" "$answer" "-f -"

# JSON: one object, with the text and what it took.
lamina run --json -q --temp 0 -n 20 -p 'Hello'
exits 0 "--json"
same "$(wc -l <out)" 1 "--json is one line"
same "$(json generated_tokens)" "$(json ids | tr ',' '\n' | grep -c .)" "--json counts its ids"
same "$(json backend.name)" cpu "--json backend"
same "$(json model.demo)" true "--json demo"
json memory.weight_bytes >/dev/null || fail "--json memory"
lamina run --json-stream -q --temp 0 -n 5 --raw -p 'Once upon a time'
same "$(grep -c '"event":"token"' out)" 5 "--json-stream tokens"
tail -n 1 out | grep -q '"event":"end"' || fail "--json-stream end"

# Limits of an answer.
lamina run --json -q --raw --temp 0 -n 7 -p 'Once upon a time'
same "$(json generated_tokens) $(json finish_reason)" "7 length" "-n"
lamina run --json -q --temp 0 --stop lantern
same "$(json finish_reason)" stop "--stop"
case $(json text) in *lantern*) fail "--stop: the stop text is in the answer" ;; esac
lamina run --json -q --raw --temp 0 --ignore-eos -c 64 -p 'Once upon a time'
same "$(json finish_reason)" context "a full context"
lamina run --json -q --raw --temp 0 --ignore-eos -c 192 --slide -n 400 -p 'Once upon a time'
same "$(json generated_tokens) $(json finish_reason)" "400 length" "--slide"
lamina run --json -q --temp 0 -n 30 --logit-bias 524-inf
case $(json ids) in *524*) fail "--logit-bias -inf: the token came" ;; esac
lamina run -q --temp 0 -n 0
silent_stdout "-n 0"

# Special tokens in a user's text are text, and the template's are not.
lamina run --json -q --temp 0 -n 1 -p 'a'
plain=$(json prompt_tokens)
lamina run --json -q --temp 0 -n 1 -p 'a<|eot_id|>'
[ "$(json prompt_tokens)" -gt $((plain + 2)) ] || fail "a user's special token was taken for one"

# Empty and odd prompts.
lamina run -q --temp 0 -n 5 -p ''
exits 0 "empty prompt"
lamina run -q --raw --temp 0 -n 5 -p ''
exits 0 "empty raw prompt"
lamina run -m "$BUILT_MODEL"
exits 2 "no prompt for a named model"
says 'no prompt' "no prompt for a named model"
printf 'caf\xff\xc3 \xe2\x82 end' >broken
lamina_on broken run -q --temp 0 -n 5
exits 0 "invalid UTF-8"
says 'not valid UTF-8' "invalid UTF-8"
iconv -f UTF-8 -t UTF-8 out >/dev/null || fail "the answer to invalid UTF-8 is not UTF-8"

# More tokens than any context holds.
yes 'the fox and the owl ' | head -c 5000000 >long
lamina_on long run
exits 8 "a million tokens"
says 'the prompt has [0-9]{6,} tokens, the context holds 2048' "a million tokens"
silent_stdout "a million tokens"

# Output that can't be written.
"$LAMINA" run -q -t 1 --temp 0 -p x >/dev/full 2>err </dev/null
status=$?
exits 5 "a full disk"
one_error_line "a full disk"
"$LAMINA" run -q -t 1 --ignore-eos --slide 2>err </dev/null | head -c 10 >/dev/null
silent_stderr "a reader that leaves"

# The first interrupt stops the answer and keeps it; the status says so.
"$LAMINA" run -t 1 --ignore-eos --slide -c 256 >out 2>err </dev/null &
child=$!
for _ in $(seq 300); do [ -s out ] && break; sleep 0.05; done
kill -INT "$child"
wait "$child"
status=$?
exits 130 "interrupt"
says 'stopped by you' "interrupt"
[ -s out ] || fail "interrupt: what was said so far is gone"

# Kernels by name.
LAMINA_FORCE_ISA=scalar lamina run --json -q --temp 0 -n 3
exits 0 "LAMINA_FORCE_ISA=scalar"
case $(json backend.device) in *scalar*) ;; *) fail "LAMINA_FORCE_ISA=scalar did not take" ;; esac
LAMINA_FORCE_ISA=mmx lamina run -p x
exits 2 "an unknown LAMINA_FORCE_ISA"
says "LAMINA_FORCE_ISA: .*'mmx'.* scalar" "an unknown LAMINA_FORCE_ISA"
one_error_line "an unknown LAMINA_FORCE_ISA"
lamina run --backend reference -q --temp 0 -n 3
exits 0 "--backend reference"
lamina run --backend vulkan
exits 6 "--backend vulkan"
says "backend vulkan: .*use --backend cpu" "--backend vulkan"
lamina run --device 1
exits 2 "--device 1"

# On the machine's own GPU, or lavapipe.
with_gpu lamina doctor --json
if grep -q '"self-test gpu 0"' out; then
  with_gpu lamina run --json -q --temp 0 -n 8 --backend vulkan -p 'What is 2+3?'
  exits 0 "--backend vulkan"
  same "$(json backend.name)" vulkan "--backend vulkan"
  ls cache/lamina/vulkan/*.bin >/dev/null 2>&1 || fail "--backend vulkan: no pipelines were kept"
  mine=$(json text)
  for file in cache/lamina/vulkan/*.bin; do printf 'not a cache' >"$file"; done
  with_gpu lamina run --json -q --temp 0 -n 8 --backend vulkan -p 'What is 2+3?'
  exits 0 "a spoilt file of pipelines"
  same "$(json text)" "$mine" "a spoilt file of pipelines"
  lamina run --json -q --temp 0 -n 8 --backend cpu -p 'What is 2+3?'
  same "$(json text)" "$mine" "vulkan says what the CPU says"
  sampled='run --json -q --temp 0.8 -s 5 -n 21 --backend vulkan -p hi'
  # shellcheck disable=SC2086
  with_gpu lamina $sampled --tokens-per-submit 1
  mine=$(json text)
  # shellcheck disable=SC2086
  with_gpu lamina $sampled --tokens-per-submit 6
  same "$(json text)" "$mine" "sampled on the device as on the host"
  with_gpu lamina run --backend vulkan --device 999 -p x
  exits 2 "--device 999"
  with_gpu lamina bench --backend vulkan -p 8 -n 2 -r 1 --profile
  exits 0 "bench --backend vulkan"
  says 'gate_up_silu' "bench --profile on vulkan"
  prints 'GB/s' "bench --backend vulkan"
  prints "of memory's" "bench on vulkan: the device's bandwidth beside the decode"
  if grep -q "of int8's" out; then fail "bench compares a GPU with the processor's multipliers"; fi
else
  echo "no Vulkan device here: --backend vulkan is only seen to fail"
fi

# Models by environment.
LAMINA_MODEL=$work/f16 lamina run --json -q --temp 0 -n 2 -p hi
same "$(json model.folder)" "$work/f16" "LAMINA_MODEL"
LAMINA_DEMO_MODEL=$work/f16 lamina run --json -q --temp 0 -n 2
same "$(json model.folder) $(json model.demo)" "$work/f16 true" "LAMINA_DEMO_MODEL"

# KV precisions may part ways; ways of loading the same weights may not.
for flags in "--kv f32" "--kv i8"; do
  # shellcheck disable=SC2086
  lamina run -q --temp 0 -n 12 $flags
  exits 0 "$flags"
  [ -s out ] || fail "$flags: no story"
done
for flags in "--load mmap" "--load huge" "--kv f16"; do
  # shellcheck disable=SC2086
  lamina run -q --temp 0 -n 12 $flags
  exits 0 "$flags"
  case $story in "$(cat out)"*) ;; *) fail "$flags: another story" ;; esac
done

finish
