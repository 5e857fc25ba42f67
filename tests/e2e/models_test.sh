#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Model folders: made, looked into, damaged.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

source_model=$SOURCE/tests/models/storyteller

lamina convert "$source_model" model --shard-size 1M
exits 0 "convert"
silent_stdout "convert"
says 'size .* to .* in [0-9]+ shards' "convert"
says 'error .* at worst' "convert"
says 'lamina run -m model' "convert"
same "$(sha256sum <model/manifest.json)" \
  "$("$LAMINA" convert -q "$source_model" again --shard-size 1M --threads 1 && sha256sum <again/manifest.json)" \
  "convert gives the same bytes again"
lamina convert "$source_model" model
exits 2 "convert onto a model"
says 'exists.*--force' "convert onto a model"
lamina convert --json -q --force "$source_model" again --dtype f32
exits 0 "convert --force"
same "$(json worst_error)" 0 "f32 loses nothing of f16"
lamina convert "$source_model" other --dtype f16 --group 32
exits 2 "groups without scales"
lamina convert nowhere other
exits 5 "convert from nowhere"
[ ! -e other ] || fail "a refused conversion left a folder"
for group in 32 64 128; do
  lamina convert -q "$source_model" "g$group" --group "$group"
  exits 0 "group $group"
  lamina run -q --temp 0 -n 8 -m "g$group" -p x
  exits 0 "run with group $group"
done

# Checkpoints that are not ours, or broken.
cp -r "$source_model" strange
sed -i 's/LlamaForCausalLM/BertModel/; s/"model_type": "llama"/"model_type": "bert"/' strange/config.json
lamina convert strange other
exits 3 "another architecture"
one_error_line "another architecture"
cp -r "$source_model" short
truncate -s 9000000 short/model.safetensors
lamina convert short other
exits 3 "a truncated checkpoint" || true
says 'model.safetensors' "a truncated checkpoint"
rm short/model.safetensors
lamina convert short other
[ "$status" -ne 0 ] || fail "a checkpoint without weights"
says 'safetensors' "a checkpoint without weights"
[ ! -e other ] || fail "a failed conversion left a folder"

# A disk that fills up, by the size limit of files.
(
  trap '' XFSZ
  ulimit -f 2000
  "$LAMINA" convert "$source_model" full >out 2>err
)
status=$?
exits 5 "a full disk"
one_error_line "a full disk"
[ ! -e full ] || fail "a full disk left a model folder"
lamina convert -q "$source_model" full
exits 0 "the same again with room"
lamina verify full
exits 0 "verify after a resumed conversion"

lamina inspect model
exits 0 "inspect"
prints '^parameters +6\.83 million' "inspect"
lamina inspect model --json --tensors
same "$(json config.n_layers)" 8 "inspect --json"
same "$(json tensors.0.name)" token_embedding "inspect --json --tensors"
lamina inspect model --graph
prints '^attention layer=7' "inspect --graph"
lamina verify model
exits 0 "verify"
prints '^model: ok$' "verify"
lamina verify --json model
same "$(json ok) $(json signature)" "true unsigned" "verify --json"

# Not model folders.
lamina run -m nowhere
exits 5 "no such folder"
lamina run -m "$source_model"
exits 3 "a checkpoint as model"
says 'lamina convert' "a checkpoint as model"
lamina run -m "$source_model/config.json"
exits 3 "a file as model"
mkdir empty
lamina run -m empty
exits 3 "an empty folder"

# damaged NAME COMMAND...: a copy of the model, damaged; loading it must fail with status 3 or 4, name
# a file, and print nothing on stdout. The cache of verified states must not help.
damaged() {
  local name=$1
  shift
  rm -rf bad
  cp -r model bad
  "$LAMINA" run -q -n 1 -m bad -p x >out 2>err </dev/null || fail "$name: the copy is broken already"
  "$@"
  for verb in "run -p x" "verify" "logits --ids 1 -o l.st"; do
    # shellcheck disable=SC2086
    lamina $verb -m bad
    case $status in 3 | 4) ;; *) fail "$name: $verb exits $status" ;; esac
    silent_stdout "$name: $verb"
    one_error_line "$name: $verb"
  done
}
damaged "a flipped bit" flip bad/shards/00003.bin 1000
exits 4 "a flipped bit"
says '00003\.bin' "a flipped bit"
damaged "a truncated shard" truncate -s 1000 bad/shards/00002.bin
says '00002\.bin' "a truncated shard"
damaged "a longer shard" truncate -s +64 bad/shards/00001.bin
says '00001\.bin' "a longer shard"
damaged "a missing shard" rm bad/shards/00004.bin
exits 4 "a missing shard"
says '00004\.bin.*incomplete' "a missing shard"
damaged "a missing tokenizer" rm bad/tokenizer.json
says 'tokenizer\.json' "a missing tokenizer"
swap() { mv bad/shards/00001.bin t && mv bad/shards/00002.bin bad/shards/00001.bin && mv t bad/shards/00002.bin; }
damaged "swapped shards" swap
says '0000[12]\.bin' "swapped shards"
damaged "a shard of another model" cp full/shards/00000.bin bad/shards/00000.bin
damaged "an empty manifest" truncate -s 0 bad/manifest.json
says 'manifest\.json' "an empty manifest"
damaged "a truncated manifest" truncate -s 3000 bad/manifest.json
says 'manifest\.json' "a truncated manifest"
damaged "a changed tokenizer" sed -i 's/story/stori/' bad/tokenizer.json
says 'tokenizer\.json' "a changed tokenizer"
damaged "a path out of the folder" sed -i 's#shards/00000.bin#../../etc/passwd#' bad/manifest.json
damaged "a wild offset" sed -i '0,/"offset": *[0-9]*/s//"offset": 18446744073709551360/' bad/manifest.json

# Damage behind the back: same size and, as far as touch can do it, same times.
rm -rf bad
cp -r model bad
lamina run -q -n 1 -m bad -p x
touch -r bad/shards/00001.bin stamp
flip bad/shards/00001.bin 500
touch -r stamp bad/shards/00001.bin
lamina run -q -n 1 -m bad -p x
exits 4 "damage with the old times"

# An interrupt leaves no model folder, and the next run finishes it.
"$LAMINA" convert "$source_model" cut --dtype f32 --shard-size 64K --threads 1 >out 2>err &
child=$!
for _ in $(seq 200); do [ -d cut.partial ] && break; sleep 0.01; done
kill -INT "$child" 2>/dev/null
wait "$child"
status=$?
if [ "$status" -eq 0 ]; then
  echo "skipped: interrupting a conversion (it was too quick)"
else
  exits 130 "an interrupted conversion"
  [ ! -e cut ] || fail "an interrupted conversion left a folder"
  lamina convert "$source_model" cut --dtype f32 --shard-size 64K --threads 1
  exits 0 "the interrupted conversion again"
fi
lamina verify cut
exits 0 "verify after an interrupt"

finish
