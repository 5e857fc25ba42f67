# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests of the program itself. From the environment: LAMINA, the binary; PROBE, which
# reads JSON and tensors; SOURCE, the source tree; BUILT_MODEL, the demo model that the build made.
set -u
: "${LAMINA:?}" "${PROBE:?}" "${SOURCE:?}" "${BUILT_MODEL:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state
unset LAMINA_MODEL LAMINA_DEMO_MODEL LAMINA_FORCE_ISA LAMINA_VULKAN_VARIANT NO_COLOR
# The same on every machine: no GPU, but where a test asks for the machine's own by with_gpu.
export VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent
export LC_ALL=C.UTF-8
failures=0

fail() {
  failures=$((failures + 1))
  echo "FAILED: $1"
  if [ -s out ]; then head -c 600 out | sed 's/^/  stdout: /'; echo; fi
  if [ -s err ]; then head -c 900 err | sed 's/^/  stderr: /'; fi
}

# lamina ARGS...: runs the program into the files out, err and the variable status.
lamina() {
  lamina_on /dev/null "$@"
}

# lamina_on FILE ARGS...: the same with FILE as standard input. Verbs that compute get one thread,
# because tests run side by side and threads that wait for each other are slow in a crowd; a later
# -t wins.
lamina_on() {
  local input=$1 verb=${2:-}
  shift
  case $verb in
    run | chat | logits | perplexity)
      shift
      set -- "$verb" -t 1 "$@"
      ;;
  esac
  "$LAMINA" "$@" >out 2>err <"$input"
  status=$?
}

# exits CODE WHAT: the last run's exit status.
exits() {
  [ "$status" -eq "$1" ] || fail "$2: exit status $status, not $1"
}

# says PATTERN WHAT: an extended regular expression on stderr.
says() {
  grep -qE -- "$1" err || fail "$2: stderr lacks /$1/"
}
prints() {
  grep -qE -- "$1" out || fail "$2: stdout lacks /$1/"
}
silent_stdout() {
  [ ! -s out ] || fail "$1: stdout is not empty"
}
silent_stderr() {
  [ ! -s err ] || fail "$1: stderr is not empty"
}
one_error_line() {  # besides warnings
  grep -v '^lamina: warning: ' err >errors
  { [ "$(wc -l <errors)" -eq 1 ] && grep -q '^lamina: ' errors; } || fail "$1: not one line of error"
}
same() {
  [ "$1" = "$2" ] || fail "$3: '$1' is not '$2'"
}

# with_gpu COMMAND...: with whatever Vulkan devices the machine has.
with_gpu() {
  local files=$VK_DRIVER_FILES icds=$VK_ICD_FILENAMES result
  unset VK_DRIVER_FILES VK_ICD_FILENAMES
  "$@"
  result=$?
  export VK_DRIVER_FILES=$files VK_ICD_FILENAMES=$icds
  return $result
}

# json PATH [FILE]: a value out of a JSON text, e.g. backend.name or cases.0.ids; out by default.
json() {
  "$PROBE" json "$1" <"${2:-out}"
}

# within A B TOLERANCE
within() {
  awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; exit !(d <= t && d >= -t) }'
}

# flip FILE OFFSET: one bit of one byte.
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N1 "$1" | tr -d ' ')
  # shellcheck disable=SC2059
  printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

finish() {
  [ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }
  echo "all passed"
}
