// SPDX-License-Identifier: Apache-2.0
// Who vouches for a model: Ed25519 signatures over the bytes of manifest.json.
//
// Text of a public key:      ed25519:BASE64 of its 32 bytes (44 characters)
// manifest.sig, one line:    ed25519:KEY SIGNATURE\n, both base64, the signature of 64 bytes
// A key file holds one key as text, a comment may follow after a space; lines starting with # and
// empty lines are skipped. trusted_keys in the configuration directory holds one key a line.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace lamina {

struct PublicKey {
  std::array<unsigned char, 32> bytes{};
  bool operator==(const PublicKey&) const = default;

  std::string text() const;         // "ed25519:..."
  std::string fingerprint() const;  // "1f2e-3d4c-5b6a-7988": the start of the key's SHA-256
};

Result<PublicKey> parse_public_key(std::string_view text);

// The argument of --trust: a key's text, or the path of a key file.
Result<PublicKey> public_key_from_argument(const std::string& text_or_path);

// Keys of a file, one a line; no keys when the file is missing.
Result<std::vector<PublicKey>> read_trusted_keys(const std::string& path);
std::string trusted_keys_path();  // in config_directory()

// A fresh pair: the private key as PKCS#8 PEM, readable by its owner only, and the public one as a
// key file. Refuses to overwrite.
Result<PublicKey> generate_keys(const std::string& private_path, const std::string& public_path);

// The text of manifest.sig for these bytes.
Result<std::string> sign_bytes(const std::string& private_path, std::string_view bytes);

// Writes manifest.sig beside DIRECTORY/manifest.json; returns the signer.
Result<PublicKey> sign_model(const std::string& directory, const std::string& private_path);

struct TrustPolicy {
  bool require_signature = false;  // by a key of `known` or `pinned`
  std::vector<PublicKey> pinned;   // when not empty: a signature by one of these, nothing else
  std::vector<PublicKey> known;    // from trusted_keys
};

enum class SignatureKind { kUnsigned, kUnknownSigner, kTrusted };

struct SignatureFacts {
  SignatureKind kind = SignatureKind::kUnsigned;
  PublicKey signer;  // unless kUnsigned
};

// `signature` is manifest.sig's text, or nothing where there is no such file. A signature that does
// not fit the bytes is refused whatever the policy: kIntegrity. `what` names the model in errors.
Result<SignatureFacts> check_signature(std::string_view bytes,
                                       const std::optional<std::string>& signature,
                                       const TrustPolicy& policy, std::string_view what);

}  // namespace lamina
