#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The engine package: unit tests, and the daemon transport against the real daemon.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export WORK=$work XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache
export VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent
unset LAMINA_MODEL LAMINA_DEMO_MODEL
(cd "$SOURCE/web" && node_modules/.bin/tsc --noEmit -p "$SOURCE/web/tsconfig.json")
node --test --test-force-exit --test-concurrency=1 --test-timeout=300000 ./*.test.ts
