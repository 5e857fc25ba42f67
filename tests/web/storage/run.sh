#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The shard store: its logic under Node, the rest in Chromium against a misbehaving server. Started
# by web_test.sh. Without Chromium the tests that need it are skipped one by one.
set -euo pipefail
cd "$(dirname "$0")"
exec node --disable-warning=ExperimentalWarning --test --test-concurrency=1 \
  --test-timeout=120000 ./*.test.mjs
