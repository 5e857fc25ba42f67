#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh: the engine package's shapes, and its daemon transport against the real daemon.
# run.sh browser: the built package in Chromium, with the modules of the wasm preset (LAMINA_MODULES,
# default build/wasm).
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export WORK=$work XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache
export VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent
unset LAMINA_MODEL LAMINA_DEMO_MODEL
run() {
  node --test --test-force-exit --test-concurrency=1 --test-timeout=300000 "$@"
}

if [ "${1:-}" != browser ]; then
  "$SOURCE/web/node_modules/.bin/tsc" --noEmit -p "$SOURCE/web/tsconfig.json"
  run shapes.test.ts turns.test.ts switching.test.ts daemon.test.ts rpc.test.ts hash_threads.test.ts
  exit
fi
modules=${LAMINA_MODULES:-$SOURCE/build/wasm}
if [ ! -f "$modules/lamina-simd128-single.wasm" ]; then
  echo "skipped: no modules in $modules: cmake --workflow --preset wasm makes them"
  exit 77
fi
if [ -z "${CHROMIUM:-}" ]; then
  echo "skipped: no Chromium here"
  exit 77
fi
export PACKAGE=$work/package
node "$SOURCE/web/engine/build.mjs" "$modules" "$PACKAGE"
run wasm_runner.test.ts host.test.ts early.test.ts op_times.test.ts early_browser.test.ts local.test.ts api.test.ts moves.test.ts package.test.ts webgpu.test.ts faults.test.ts
node --disable-warning=ExperimentalWarning "$SOURCE/tests/e2e/browser/measure.mjs" "${BUILT_MODEL:?}" \
  --package "$PACKAGE" --engine wasm --tokens 16 --repeat 1 >"$work/measured"
grep -c '"completion_tokens":16' "$work/measured" | grep -qx 2 # both runs answered
