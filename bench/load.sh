#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench/load.mjs with the package that it needs: bench/load.sh LAMINA [flags of load.mjs]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lamina=$(realpath "${1:?usage: bench/load.sh LAMINA [flags]}")
shift
kept=${XDG_CACHE_HOME:-$HOME/.cache}/lamina/bench-load
mkdir -p "$kept"
cp "$here/../tests/e2e/daemon/"{package.json,package-lock.json,.npmrc} "$here/load.mjs" "$kept/"
[ -d "$kept/node_modules/ws" ] || (cd "$kept" && npm ci --silent)
exec "$("$here/../tools/node.sh")" "$kept/load.mjs" --lamina "$lamina" "$@"
