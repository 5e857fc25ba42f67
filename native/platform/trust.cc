// SPDX-License-Identifier: Apache-2.0
#include "native/platform/trust.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <memory>

#include "native/platform/files.h"
#include "native/platform/paths.h"
#include "native/platform/sha256.h"

namespace lamina {

namespace {

constexpr std::string_view kScheme = "ed25519:";
constexpr size_t kSignatureBytes = 64;
constexpr size_t kMaxKeyFile = size_t{1} << 20;
constexpr size_t kMaxManifest = size_t{64} << 20;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

std::string base64(const unsigned char* bytes, size_t n) {
  std::string text((n + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(n));
  text.resize(static_cast<size_t>(length));
  return text;
}

// Exactly `n` bytes in the one way base64 writes them; anything else fails.
bool parse_base64(std::string_view text, unsigned char* out, size_t n) {
  if (text.size() != (n + 2) / 3 * 4) return false;
  std::vector<unsigned char> bytes(text.size() / 4 * 3);
  const int length =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size()));
  if (length != static_cast<int>(bytes.size()) || base64(bytes.data(), n) != text) return false;
  std::copy_n(bytes.begin(), n, out);
  return true;
}

Error crypto_error(const char* what) {
  return make_error(Code::kInvalidArgument, "%s failed in the cryptography library", what);
}

Result<Key> read_private_key(const std::string& path) {
  LAMINA_ASSIGN(const std::string pem, read_file(path, kMaxKeyFile));
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // No callback may ask for a pass phrase on the terminal: an encrypted key is simply refused.
  const auto no_phrase = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_phrase, nullptr));
  if (key && EVP_PKEY_get_id(key.get()) == EVP_PKEY_ED25519) return key;
  return make_error(Code::kInvalidArgument,
                    "%s: not an unencrypted Ed25519 private key in PEM form; make one with "
                    "lamina keygen",
                    path.c_str());
}

Result<PublicKey> public_part(const EVP_PKEY* key) {
  PublicKey out;
  size_t length = out.bytes.size();
  if (EVP_PKEY_get_raw_public_key(key, out.bytes.data(), &length) == 1 && length == 32) return out;
  return crypto_error("reading the public key");
}

Result<std::string> private_pem(const EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return crypto_error("writing the private key");
  }
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(length));
}

bool verifies(const PublicKey& key, std::string_view bytes, const unsigned char* signature) {
  const Key pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.bytes.data(), key.bytes.size()));
  const DigestContext context(EVP_MD_CTX_new());
  if (!pkey || !context) return false;
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), signature, kSignatureBytes,
                          reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1;
}

struct Signature {
  PublicKey signer;
  unsigned char bytes[kSignatureBytes];
};

std::optional<Signature> parse_signature(std::string_view text) {
  Signature s;
  constexpr size_t kKeyEnd = kScheme.size() + 44;
  if (text.size() != kKeyEnd + 1 + 88 + 1 || text[kKeyEnd] != ' ' || text.back() != '\n') {
    return std::nullopt;
  }
  const auto key = parse_public_key(text.substr(0, kKeyEnd));
  if (!key || !parse_base64(text.substr(kKeyEnd + 1, 88), s.bytes, kSignatureBytes)) {
    return std::nullopt;
  }
  s.signer = *key;
  return s;
}

bool contains(const std::vector<PublicKey>& keys, const PublicKey& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

std::string PublicKey::text() const {
  return std::string(kScheme) + base64(bytes.data(), bytes.size());
}

std::string PublicKey::fingerprint() const {
  const std::string hex = sha256_hex(std::as_bytes(std::span(bytes)));
  return hex.substr(0, 4) + "-" + hex.substr(4, 4) + "-" + hex.substr(8, 4) + "-" +
         hex.substr(12, 4);
}

Result<PublicKey> parse_public_key(std::string_view text) {
  PublicKey key;
  if (text.starts_with(kScheme) &&
      parse_base64(text.substr(kScheme.size()), key.bytes.data(), key.bytes.size())) {
    return key;
  }
  return make_error(Code::kInvalidArgument,
                    "%s is not a public key: one looks like ed25519: and 44 characters of base64",
                    quote(text).c_str());
}

Result<std::vector<PublicKey>> read_trusted_keys(const std::string& path) {
  std::vector<PublicKey> keys;
  auto text = read_file(path, kMaxKeyFile);
  if (!text && text.error().code == Code::kNotFound) return keys;
  if (!text) return std::move(text).error();
  std::string_view rest = *text;
  for (int number = 1; !rest.empty(); ++number) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    auto key = parse_public_key(line.substr(0, line.find_first_of(" \t")));
    if (!key) {
      return make_error(Code::kInvalidArgument, "%s: line %d: %s", path.c_str(), number,
                        key.error().message.c_str());
    }
    keys.push_back(*key);
  }
  return keys;
}

Result<PublicKey> public_key_from_argument(const std::string& text_or_path) {
  if (text_or_path.starts_with(kScheme)) return parse_public_key(text_or_path);
  if (!file_exists(text_or_path)) {
    return make_error(Code::kNotFound, "%s is neither a public key nor a file with one",
                      quote(text_or_path).c_str());
  }
  LAMINA_ASSIGN(const auto keys, read_trusted_keys(text_or_path));
  if (keys.size() == 1) return keys[0];
  return make_error(Code::kInvalidArgument, "%s: holds %zu public keys, one is needed",
                    text_or_path.c_str(), keys.size());
}

std::string trusted_keys_path() { return join_path(config_directory(), "trusted_keys"); }

Result<PublicKey> generate_keys(const std::string& private_path, const std::string& public_path) {
  for (const std::string& path : {private_path, public_path}) {
    if (file_exists(path)) {
      return make_error(Code::kInvalidArgument,
                        "%s exists; a key is never overwritten: choose another name or move it",
                        path.c_str());
    }
  }
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) return crypto_error("making a key");
  LAMINA_ASSIGN(const PublicKey public_key, public_part(key.get()));
  LAMINA_ASSIGN(const std::string pem, private_pem(key.get()));
  LAMINA_TRY(write_file_atomic(private_path, pem, 0600));
  LAMINA_TRY(write_file_atomic(public_path, public_key.text() + "\n", 0644));
  return public_key;
}

Result<std::string> sign_bytes(const std::string& private_path, std::string_view bytes) {
  LAMINA_ASSIGN(const Key key, read_private_key(private_path));
  LAMINA_ASSIGN(const PublicKey signer, public_part(key.get()));
  const DigestContext context(EVP_MD_CTX_new());
  unsigned char signature[kSignatureBytes];
  size_t length = sizeof signature;
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature, &length,
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) != 1) {
    return crypto_error("signing");
  }
  return signer.text() + " " + base64(signature, length) + "\n";
}

Result<PublicKey> sign_model(const std::string& directory, const std::string& private_path) {
  LAMINA_ASSIGN(const std::string manifest,
                read_file(join_path(directory, "manifest.json"), kMaxManifest));
  LAMINA_ASSIGN(const std::string signature, sign_bytes(private_path, manifest));
  LAMINA_TRY(write_file_atomic(join_path(directory, "manifest.sig"), signature));
  return parse_public_key(std::string_view(signature).substr(0, signature.find(' ')));
}

Result<SignatureFacts> check_signature(std::string_view bytes,
                                       const std::optional<std::string>& signature,
                                       const TrustPolicy& policy, std::string_view what) {
  const std::string model(what);
  const bool needed = policy.require_signature || !policy.pinned.empty();
  if (!signature) {
    if (!needed) return SignatureFacts{};
    return make_error(Code::kIntegrity, "%s: has no manifest.sig, but a signature is required",
                      model.c_str());
  }
  const auto parsed = parse_signature(*signature);
  if (!parsed) return make_error(Code::kIntegrity, "%s: manifest.sig is malformed", model.c_str());
  const PublicKey& signer = parsed->signer;
  if (!verifies(signer, bytes, parsed->bytes)) {
    return make_error(Code::kIntegrity,
                      "%s: manifest.json does not match its signature by key %s: it was changed "
                      "after signing, or the signature belongs to another model",
                      model.c_str(), signer.fingerprint().c_str());
  }
  const bool trusted =
      policy.pinned.empty() ? contains(policy.known, signer) : contains(policy.pinned, signer);
  if (trusted) return SignatureFacts{SignatureKind::kTrusted, signer};
  if (!needed) return SignatureFacts{SignatureKind::kUnknownSigner, signer};
  return make_error(Code::kIntegrity, "%s: signed by key %s (%s), which is not %s", model.c_str(),
                    signer.fingerprint().c_str(), signer.text().c_str(),
                    policy.pinned.empty() ? "among the trusted keys" : "the key given");
}

}  // namespace lamina
