#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tokenize, logits, perplexity and bench: what others check us by.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# Token ids and text as transformers has them, of the converted model and of the checkpoint.
for golden in llama2-mha-f16 llama3-gqa-ropescaled-bf16 llama-bias-headdim-f16; do
  checkpoint=$SOURCE/tests/golden/$golden
  lamina convert -q "$checkpoint" "$golden" --dtype f32
  exits 0 "convert $golden"
  for i in 0 1 2 3 4 5; do
    json "cases.$i.prompt" "$checkpoint/golden.json" >prompt
    ids=$(json "cases.$i.ids" "$checkpoint/golden.json")
    for folder in "$golden" "$checkpoint" "$checkpoint/tokenizer.json"; do
      lamina_on prompt tokenize -m "$folder" --ids
      exits 0 "tokenize $folder"
      same "$(cat out)" "$ids" "tokenize $folder, case $i"
    done
    printf %s "$ids" >ids
    lamina_on ids tokenize -m "$golden" --decode
    json "cases.$i.decoded" "$checkpoint/golden.json" >decoded
    cmp -s out decoded || fail "decode $golden, case $i"
    # Logits of all positions, in f32 throughout.
    lamina logits -m "$golden" --ids "$ids" -o logits.st
    exits 0 "logits $golden, case $i"
    silent_stdout "logits"
    "$PROBE" difference logits.st logits "$checkpoint/golden.safetensors" "logits.$i" >out
    within "$(cat out)" 0 1e-4 || fail "logits $golden, case $i: relative error $(cat out)"
  done
done
ids=1,5,9
lamina logits -m llama2-mha-f16 --ids "$ids" -o a.st
lamina logits -m llama2-mha-f16 --ids "[1, 5, 9]" --backend reference -o b.st
exits 0 "logits --backend reference"
within "$("$PROBE" difference a.st logits b.st logits)" 0 1e-5 || fail "cpu and reference differ"
same "$("$PROBE" tensors a.st)" "logits F32 [3, 700]" "the tensor's name and shape"
lamina logits -m llama2-mha-f16 --ids 1,2 -c 1 -o c.st
exits 8 "more ids than context"
[ ! -e c.st ] || fail "a refused run left a file"
lamina logits -m llama2-mha-f16 --ids 1,2 -o nowhere/c.st
exits 5 "logits to nowhere"
[ -z "$(find . -name '*.partial*')" ] || fail "a temporary file was left"

lamina tokenize -p 'a fox'
exits 0 "tokenize"
prints '^ +0 +0 .*begin_of_text.*special' "the table"
lamina tokenize --ids -p 'x<|eot_id|>'
plain=$(cat out)
lamina tokenize --ids --special -p 'x<|eot_id|>'
[ "$(cat out)" != "$plain" ] || fail "--special changes nothing"
lamina tokenize --ids --special -p '<|begin_of_text|>x'
case $(cat out) in '[0,0,'*) fail "two beginning tokens" ;; '[0,'*) ;; *) fail "no beginning token" ;; esac
lamina tokenize --ids -p ''
same "$(cat out)" '[0]' "tokenize of nothing"
lamina tokenize --ids --no-bos -p ''
same "$(cat out)" '[]' "--no-bos of nothing"

# Perplexity of the demo model on documents that it never saw: transformers has 1.383307.
eval=$SOURCE/tests/models/storyteller/eval.jsonl
"$LAMINA" convert -q --dtype f16 "$SOURCE/tests/models/storyteller" f16
lamina perplexity -m f16 -f "$eval" --json
exits 0 "perplexity"
same "$(json tokens) $(json documents)" "19887 120" "perplexity's tokens"
within "$(json perplexity)" 1.383307 0.0005 || fail "perplexity $(json perplexity)"
json seconds >/dev/null || fail "perplexity: no seconds"
head -n 4 "$eval" >few.jsonl
lamina perplexity -f few.jsonl
exits 0 "perplexity as text"
prints '^1\.[0-9]+$' "perplexity as text"

# One document in windows: an eighth of the context costs, but not much.
json text few.jsonl 2>/dev/null >few.txt || true
head -n 1 "$eval" | "$PROBE" json text >few.txt
lamina perplexity -m f16 -f few.txt --json
whole=$(json perplexity)
tokens=$(json tokens)
lamina perplexity -m f16 -f few.txt --json -c 64
same "$(json tokens)" "$tokens" "windows score every token once"
within "$(json perplexity)" "$whole" 2 || fail "windows: $(json perplexity), whole: $whole"
printf '{"text": "x"}\n{"wrong": 1}\n' >bad.jsonl
lamina perplexity -f bad.jsonl
exits 2 "a line without text"
says 'bad.jsonl line 2' "a line without text"
printf 'not json\n' >bad.jsonl
lamina perplexity -f bad.jsonl
exits 2 "a line that is no JSON"
: >none.jsonl
lamina perplexity -f none.jsonl
exits 2 "an empty file"
lamina perplexity -f nowhere.txt
exits 5 "no such file"

# bench, by llama-bench's names.
lamina bench -p 16,8 -n 4 -d 0,32 -r 2 -o json --no-machine
exits 0 "bench"
for i in 0 1 2 3 4 5; do
  for field in n_prompt n_gen n_depth avg_ts stddev_ts avg_ns samples_ts.1 model_size n_threads; do
    json "$i.$field" >value || fail "bench row $i lacks $field"
  done
done
same "$(json 0.n_prompt) $(json 2.n_gen) $(json 3.n_depth)" "16 4 32" "bench's rows"
awk -v v="$(json 0.avg_ts)" 'BEGIN { exit !(v > 0) }' || fail "bench: no speed"
lamina bench -p 8 -n 2 -r 1 --profile --kv i8 -t 1
exits 0 "bench as a table"
prints '\| +pp8 \|' "bench as a table"
says 'gate_up_silu' "bench --profile"
prints "GMAC/s, [0-9]+% of int8's [0-9]" "bench measures the multipliers"
prints "GB/s, [0-9]+% of memory's [0-9]" "bench measures memory"

finish
