#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The systemd units: valid, with flags that the program has, and no less shut in than they say.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze here (Debian: systemd)"; exit 77; }
export XDG_RUNTIME_DIR=$work STATE_DIRECTORY=$work

# unit FILE MOST [FLAG of systemd-analyze]: MOST is the exposure that its comment tells, times ten.
unit() {
  local file=$SOURCE/packaging/systemd/$1 most=$2 flags
  shift 2
  sed "s#/usr/bin/lamina#$LAMINA#" "$file" >lamina.service
  systemd-analyze "$@" --man=no verify ./lamina.service >out 2>err || fail "$file: verify"
  silent_stderr "$file: verify"
  systemd-analyze security --offline=true --threshold="$most" ./lamina.service >out 2>err ||
    fail "$file: exposed more than $most"
  grep -q "exposure .* $((most / 10))\.$((most % 10))" "$file" || fail "$file: its comment tells another exposure"
  # systemd puts the variables in; here eval does.
  flags=$(sed -n 's#^ExecStart=/usr/bin/lamina serve##p' "$file")
  eval "lamina config $flags"
  exits 0 "$file: flags"
}

unit lamina.service 21
unit user/lamina.service 62 --user
finish
