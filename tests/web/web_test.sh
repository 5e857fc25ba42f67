#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# web_test.sh ROOM [PART]: runs tests/web/ROOM/run.sh PART with node on the PATH and web/'s packages installed.
# A script that lacks a tool prints "skipped: WHY" and ends with 77; where all passed but for single tests that
# lacked one, there is a line "skipped: WHY (how many)" for each reason at the end. In its environment: LAMINA,
# SOURCE, BUILD, BUILT_MODEL, and CHROMIUM where there is one.
set -euo pipefail
. "${SOURCE:?}/tests/support/npm.sh"
packages web
said=$(mktemp)
trap 'rm -f "$said"' EXIT
bash "$SOURCE/tests/web/$1/run.sh" "${@:2}" | tee "$said"
# As node says it: "﹣ a test (1.2ms) # why"
sed -n 's/^ *﹣ .*ms) # //p' "$said" | sort | uniq -c |
  while read -r count why; do echo "skipped: $why ($count tests)"; done
