#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Keys, signatures, trust.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

cp -r "$BUILT_MODEL" model

lamina keygen -o mine
exits 0 "keygen"
prints '^ed25519:[A-Za-z0-9+/]{43}=$' "keygen"
mine=$(cat out)
same "$(stat -c %a mine)" 600 "the private key's mode"
same "$(cat mine.pub)" "$mine" "the public key's file"
lamina keygen -o mine
exits 2 "keygen over a key"
lamina keygen -q -o other --json
other=$(json public_key)
[ "$mine" != "$other" ] || fail "two keys are equal"

# Unsigned.
lamina run -q -n 1 -m model -p x
exits 0 "an unsigned model"
for verb in "run -p x" verify inspect; do
  # shellcheck disable=SC2086
  lamina $verb -m model --require-signature
  exits 4 "$verb --require-signature, unsigned"
  # shellcheck disable=SC2086
  lamina $verb -m model --trust mine.pub
  exits 4 "$verb --trust, unsigned"
  one_error_line "$verb --trust, unsigned"
done

# Signed.
lamina sign model -k mine
exits 0 "sign"
silent_stdout "sign"
lamina run -q -n 1 -m model -p x --trust mine.pub
exits 0 "run --trust FILE"
lamina run -q -n 1 -m model -p x --trust "$mine"
exits 0 "run --trust TEXT"
lamina run -q -n 1 -m model -p x --trust "$other" --trust "$mine"
exits 0 "one of two keys"
lamina run -q -n 1 -m model -p x --trust "$other"
exits 4 "another key"
says 'signed by' "another key"
lamina run -q -n 1 -m model -p x --require-signature
exits 4 "a signer whom nobody trusts"
lamina inspect model --json
same "$(json signature) $(json signer)" "unknown_signer $mine" "inspect of a signed model"

lamina verify model
says 'lamina trust add ed25519:' "verify of a signed model"

# The list of trusted keys.
lamina trust
exits 0 "trust"
says 'lamina trust add' "trust with no keys"
silent_stdout "trust with no keys"
lamina trust add mine.pub --note 'my own'
exits 0 "trust add"
lamina trust list
same "$(awk '{ print $1, $3, $4 }' out)" "$mine my own" "trust list"
lamina run -q -n 1 -m model -p x --require-signature
exits 0 "a trusted signer"
lamina verify --json model --require-signature
same "$(json signature)" trusted "verify of a trusted model"
fingerprint=$("$LAMINA" trust list 2>/dev/null | awk '{ print $2 }')
lamina trust remove "$fingerprint"
exits 0 "trust remove"
lamina trust remove "$fingerprint"
exits 5 "trust remove twice"
lamina run -q -n 1 -m model -p x --require-signature
exits 4 "trust taken back"
lamina trust add nonsense
[ "$status" -ne 0 ] || fail "trust add takes nonsense"
echo garbage >"$XDG_CONFIG_HOME/lamina/trusted_keys"
lamina run -q -n 1 -m model -p x --require-signature
[ "$status" -ne 0 ] || fail "a damaged list of keys is taken"
says 'trusted_keys: line 1' "a damaged list of keys"
lamina doctor
exits 6 "doctor sees the damaged list"
rm "$XDG_CONFIG_HOME/lamina/trusted_keys"

# refused NAME: the signed model was changed; nobody runs it, trusted or not.
refused() {
  lamina run -q -n 1 -m bad -p x
  exits 4 "$1"
  one_error_line "$1"
  lamina verify bad --trust mine.pub
  exits 4 "$1: verify"
}
renew() { rm -rf bad && cp -r model bad; }
renew
sed -i 's/"storyteller"/"storyteler"/' bad/manifest.json
refused "a changed manifest"
renew
echo ' ' >>bad/manifest.json
refused "a manifest with more at the end"
renew
echo x >>bad/manifest.sig
refused "a signature with more at the end"
renew
flip bad/manifest.sig 60
refused "a changed signature"
renew
: >bad/manifest.sig
refused "an empty signature"
renew
flip bad/shards/00000.bin 5000
refused "a changed shard of a signed model"
lamina sign bad -k mine
exits 4 "signing what does not match its manifest"
renew
sed -i 's/"storyteller"/"storyteler"/' bad/manifest.json
lamina sign bad -k mine
exits 0 "signing anew after a change"
lamina run -q -n 1 -m bad -p x --trust mine.pub
exits 0 "after signing anew"
lamina sign model -k mine.pub
exits 2 "signing with a public key"
lamina sign model -k nowhere
exits 5 "signing with no key"

finish
