#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lamina chat on a pipe, and on a terminal where there is `script` to make one.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# talk LINES...: a conversation on a pipe.
talk() {
  printf '%s\n' "$@" >lines
  lamina_on lines chat --temp 0 -v
}

talk 'What is 2+3?'
exits 0 "one question"
same "$(wc -l <out)" 1 "one answer is one line"
answer=$(cat out)
lamina run -q --temp 0 -p 'What is 2+3?'
same "$(cat out)" "$answer" "chat answers as run does"

# The second turn reuses the first one's keys and values.
talk 'Tell me a story about an owl.' 'Hello' '/stats'
says '[0-9]+ of them kept from before' "a second turn"
second=$(tail -n 1 out)

# Saved and loaded, it goes on as if it had never stopped.
talk 'Tell me a story about an owl.' '/save talk.json'
same "$(stat -c %a talk.json)" 600 "a saved conversation's mode"
same "$(json messages.0.role talk.json) $(json messages.1.role talk.json)" "user assistant" "/save"
talk '/load talk.json' 'Hello'
same "$(cat out)" "$second" "/load"
talk '/load nowhere.json' '/load lines' '/load' 'Hello'
says 'nowhere.json' "/load of nothing"
same "$(wc -l <out)" 1 "a failed /load does not end the conversation"

# A message of many lines, and one that only looks like a command.
talk '"""' 'What is' '2+3?' '"""'
same "$(wc -l <out)" 1 "a block is one message"
talk '"""/help"""'
grep -q 'this list' err && fail "a block was taken for a command"

talk '/help'
says '/system TEXT' "/help"
talk '/rest'
says "did you mean '/reset'" "a mistyped command"
talk '/temp x' '/temp 0.5' '/top-k 5' '/n 3' 'Tell me a story'
says 'a number from 0 to 100' "/temp x"
says '\(top-k 5\)' "/top-k"
says '3 tokens, .*ended at the limit of -n' "/n"
talk '/system You are a poet.' 'Hello' '/save s.json' '/exit' 'never read'
same "$(json system s.json)" 'You are a poet.' "/system"
same "$(wc -l <out)" 1 "/exit"
talk 'Hello' '/reset' '/save r.json'
same "$(json messages r.json)" '[]' "/reset"

# A conversation moves between backends with what they know of it; a wrong name changes nothing.
talk 'Tell me a story about an owl.' '/backend' '/backend reference' 'Hello' '/backend cpu' '/stats'
same "$(tail -n 1 out)" "$second" "/backend"
says '^\(on cpu ' "/backend without a name"
says '^\(now on reference .*, [1-9][0-9]+ tokens of the conversation came along' "/backend reference"
says '^backend cpu .*asked for by /backend' "the summary after /backend"
talk '/backend vulcan' '/backend vulkan' '/backend cpu' 'Hello' '/stats'
exits 0 "a backend that is not there"
says "no backend 'vulcan'.*did you mean 'vulkan'\?; still on cpu" "/backend vulcan"
says '/backend: .*Vulkan.*; still on cpu' "/backend vulkan"
says '^\(already on cpu ' "/backend cpu"
says '^backend cpu .*chosen because' "the summary after nothing changed"

# A full context says what to do.
printf '%s\n' 'Tell me a story.' 'Tell me another story.' 'And one more, please.' >lines
lamina_on lines chat --temp 0 -c 128
exits 0 "a full context"
says '/reset begins a new conversation' "a full context"
lamina_on lines chat --temp 0 -c 256 --slide
exits 0 "a sliding conversation"
same "$(grep -c . out)" 3 "a sliding conversation answers everything"

# An interrupt stops the answer, not the program.
{
  echo 'Tell me a story.'
  sleep 3
  echo '/exit'
} | "$LAMINA" chat -t 1 --ignore-eos --slide -c 256 >out 2>err &
for _ in $(seq 200); do [ -s out ] && break; sleep 0.05; done
child=$(pgrep -P $$ -x lamina | tail -n 1)
kill -INT "$child"
wait "$!"
status=$?
exits 0 "an interrupted answer"
says '\(stopped\)' "an interrupted answer"

# No template, no chat.
"$LAMINA" convert -q "$SOURCE/tests/golden/llama-bias-headdim-f16" plain --dtype f32
lamina chat -m plain
exits 3 "a model without a template"
says 'lamina run --raw' "a model without a template"

# A terminal: prompts, a bar while converting, a history.
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
  { sleep 1; printf 'Hello\n'; sleep 2; printf '\004'; } |
    script -qec "'$LAMINA' chat -t 1 --temp 0" typescript >/dev/null 2>&1
  grep -q '^> ' typescript || fail "no prompt on a terminal"
  grep -q 'Hello' "$XDG_STATE_HOME/lamina/chat_history" || fail "no history"
  same "$(stat -c %a "$XDG_STATE_HOME/lamina/chat_history")" 600 "the history's mode"
  script -qec "'$LAMINA' convert '$SOURCE/tests/models/storyteller' bar --dtype f32 --shard-size 256K" typescript >/dev/null </dev/null
  grep -q 'Converting \[#' typescript || fail "no progress bar on a terminal"
  NO_COLOR=1 script -qec "'$LAMINA' run -t 1 --temp 0 -n 3" typescript >/dev/null </dev/null
  grep -q $'\x1b\[2m' typescript && fail "colour in spite of NO_COLOR"
  script -qec "'$LAMINA' run -t 1 --temp 0 -n 3" typescript >/dev/null </dev/null
  grep -q $'\x1b\[2m' typescript || fail "no colour on a terminal"
else
  echo "skipped: terminals (no script here, or no pseudo-terminals)"
fi

finish
