#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the program says about itself, and to wrong usage.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

verbs="run chat serve convert verify sign keygen trust inspect tokenize logits perplexity bench doctor config completion version"

lamina --help
exits 0 "--help"
silent_stderr "--help"
for verb in $verbs; do
  grep -qE "^  $verb +[A-Z]" out || fail "--help does not list $verb"
done
for code in 0 1 2 3 4 5 6 7 8 130; do
  grep -qE "^ +$code +[a-z]" out || fail "--help does not explain exit status $code"
done
[ "$(wc -L <out)" -le 100 ] || fail "--help: a line of $(wc -L <out) columns"
mv out help
lamina
exits 0 "no arguments"
same "$(cat out)" "$(cat help)" "no arguments give the help"
for verb in $verbs; do
  lamina "$verb" --help
  exits 0 "$verb --help"
  prints "^Usage: lamina $verb " "$verb --help"
  [ "$(wc -L <out)" -le 100 ] || fail "$verb --help: a line of $(wc -L <out) columns"
done
lamina help
same "$(cat out)" "$(cat help)" "help"
lamina help run
prints '^Usage: lamina run ' "help run"
lamina --version
prints '^lamina [0-9]+\.[0-9]+\.[0-9]+$' "--version"
version=$(cat out)
lamina version
same "$(cat out)" "$version" "version"

# wrong PATTERN ARGS...: wrong usage with one line of error.
wrong() {
  local pattern=$1
  shift
  lamina "$@"
  exits 2 "$*"
  says "$pattern" "$*"
  one_error_line "$*"
  silent_stdout "$*"
}
wrong "unknown verb 'rnu'; did you mean 'run'\?" rnu
wrong "did you mean 'perplexity'\?" perplexty -f x
wrong "unknown verb" fly
wrong "come after a verb" --raw
wrong "unknown flag '--tmep'.*did you mean '--temp'\?" run --tmep 1
wrong "did you mean '--threads'\?" run --thread 1
wrong "unknown flag" run --frobnicate
wrong "a prompt goes after -p" run hello
wrong "prompt needs a value" run -p
wrong "'abc' is not a number" run -n abc
wrong "'0x10' is not a number" run -n 0x10
wrong "'nan' is not a number" run --temp nan
wrong "out of range" run --temp -1
wrong "out of range" run --top-p 1.5
wrong "out of range" run -t 9999
wrong "out of range" run -n 99999999999999999999999
wrong "not a seed" run -s -2
wrong "not one of f32, f16, i8" run --kv i4
wrong "did you mean 'cpu'\?" run --backend cpuu
wrong "logit-bias" run --logit-bias nonsense
wrong "logit-bias token" run -p x --logit-bias 99999999+1
wrong "stop string" run --stop ''
wrong "not both" run -p a -f b
wrong "ids is required" logits -o x
wrong "is not a token id" logits --ids 1,x -o x
wrong "outside the vocabulary" logits --ids 99999999 -o x
wrong "file is required" perplexity
wrong "SRC is required" convert
wrong "not one of bash, zsh, fish" completion tcsh
wrong "excludes" inspect --graph --tensors
wrong "nothing to measure" bench -p 0 -n 0
wrong "-p 'x'" bench -p x

# The last of two counts, and values that look like flags are values.
lamina run --json -q --temp 0 -n 9 -n 3 -p '--raw'
exits 0 "-n twice"
same "$(json generated_tokens)" 3 "-n twice"

# The daemon's settings: flags before the environment before the file before defaults.
mkdir -p config/lamina
echo '{"port": 1, "queue": 2, "parallel": 3}' >config/lamina/config.json
LAMINA_PORT=4 LAMINA_QUEUE=5 lamina config --json --port 6
exits 0 "config --json"
same "$(json port.values.0) $(json queue.values.0) $(json parallel.values.0) $(json kv.values.0)" "6 5 3 f16" "precedence"
same "$(json port.from) $(json queue.from)" "--port LAMINA_QUEUE" "where settings are from"
LAMINA_PORT=4 lamina config --explain
prints 'instead of 1 from .*config.json: port' "config --explain"
prints 'from LAMINA_PORT' "config --explain"
lamina config --config nowhere.json
exits 5 "config of a file that is not there"
echo '{"prot": 1}' >config/lamina/config.json
lamina serve
exits 2 "serve with a wrong configuration"
says "no setting .prot." "serve with a wrong configuration"
rm config/lamina/config.json
wrong "out of range" serve --port 70000
wrong "not one of" serve --kv i4
wrong "needs TLS" serve --host 0.0.0.0 --port 0
lamina serve -m nowhere
exits 5 "serve without its model"
ln -s "$LAMINA" laminad
./laminad --help >out
prints '^Usage: lamina serve ' "laminad"

# Colour and bars belong to terminals; data to stdout alone.
lamina inspect --json
silent_stderr "inspect --json"
grep -q $'\x1b' err out && fail "escape codes without a terminal"

# Completions of every shell know every verb, and bash takes the script.
for shell in bash zsh fish; do
  lamina completion "$shell"
  exits 0 "completion $shell"
  for verb in $verbs; do
    grep -q -w -- "$verb" out || fail "completion $shell lacks $verb"
  done
  grep -q -- 'top-p' out || fail "completion $shell lacks --top-p"
done
lamina completion bash
complete_bash() { # WORDS..., the last one being typed
  bash -c '. ./out; COMP_WORDS=(lamina "$@"); COMP_CWORD=$#; _lamina; printf "%s\n" "${COMPREPLY[@]}"' _ "$@" 2>/dev/null
}
same "$(complete_bash perp)" perplexity "bash completes a verb"
same "$(complete_bash run --min)" "--min-p" "bash completes a flag"
same "$(complete_bash run --kv f3)" f32 "bash completes a choice"
same "$(complete_bash completion z)" zsh "bash completes an argument"
mkdir folder
same "$(complete_bash run -m fold)" folder "bash completes a folder"

# The man page: every verb and flag, no complaint by man.
lamina man
exits 0 "man"
for word in $verbs 'top\\-p' 'EXIT STATUS' ENVIRONMENT; do
  grep -q -- "$word" out || fail "the man page lacks $word"
done
if command -v man >/dev/null; then
  cp out lamina.1
  LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l lamina.1 >page 2>complaints
  [ ! -s complaints ] || fail "man complains: $(head -n 3 complaints)"
else
  echo "skipped: the man page's rendering (no man here)"
fi

# The doctor.
lamina doctor
exits 0 "doctor"
prints '^ok +self-test scalar +passed' "doctor"
prints '^note +gpu' "doctor"
lamina doctor --json
same "$(json healthy)" true "doctor --json"
LAMINA_FORCE_ISA=scalar lamina doctor
prints 'kernels used +scalar' "doctor with LAMINA_FORCE_ISA"
LAMINA_FORCE_ISA=mmx lamina doctor
exits 6 "doctor with a wrong LAMINA_FORCE_ISA"
prints 'fix: unset LAMINA_FORCE_ISA' "doctor with a wrong LAMINA_FORCE_ISA"

finish
