#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An installed program finds its demo model and brings man page and completions.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

"$CMAKE" --install "$BUILD" --prefix "$work/prefix" >log 2>&1 || { cat log; fail "cmake --install"; }
for file in bin/lamina share/man/man1/lamina.1 share/bash-completion/completions/lamina \
  share/zsh/site-functions/_lamina share/fish/vendor_completions.d/lamina.fish \
  share/lamina/models/storyteller/manifest.json share/doc/lamina/LICENSE \
  share/doc/lamina/NOTICE; do
  [ -s "prefix/$file" ] || fail "not installed: $file"
done
LAMINA=$work/prefix/bin/lamina
lamina run --json -q --temp 0 -n 3
exits 0 "run of the installed program"
same "$(json model.folder)" "$work/prefix/share/lamina/models/storyteller" "the installed demo model"
lamina verify
exits 0 "verify of the installed demo model"

finish
