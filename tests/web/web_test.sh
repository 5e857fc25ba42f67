#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# web_test.sh ROOM [PART]: runs tests/web/ROOM/run.sh PART with node on the PATH and web/'s packages installed.
# A script that lacks a tool prints "skipped: WHY" and ends with 77. In its environment: LAMINA, SOURCE,
# BUILD, BUILT_MODEL, and CHROMIUM where there is one.
set -euo pipefail
. "${SOURCE:?}/tests/support/npm.sh"
packages web
exec bash "$SOURCE/tests/web/$1/run.sh" "${@:2}"
