// SPDX-License-Identifier: Apache-2.0
#include "native/platform/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/checkpoint_writer.h"
#include "tests/support/temp_dir.h"

namespace lamina {
namespace {

using testing::HasSubstr;
using namespace test;

// RFC 8032, section 7.1, TEST 2: the message is the byte 0x72.
constexpr const char* kRfcKey = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
constexpr const char* kRfcSignature =
    "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==";

class Trust : public testing::Test {
 protected:
  void SetUp() override {
    const auto made = generate_keys(dir / "key.pem", dir / "key.pub");
    ASSERT_TRUE(made) << made.error().message;
    key = *made;
    const auto signed_text = sign_bytes(dir / "key.pem", kMessage);
    ASSERT_TRUE(signed_text) << signed_text.error().message;
    signature = *signed_text;
  }

  Result<SignatureFacts> check(std::string_view bytes, const std::optional<std::string>& sig,
                               const TrustPolicy& policy = {}) {
    return check_signature(bytes, sig, policy, "MODEL");
  }

  static constexpr std::string_view kMessage = "the bytes of a manifest";
  TempDir dir;
  PublicKey key;
  std::string signature;
};

TEST_F(Trust, AgreesWithTheStandard) {
  const std::string line = std::string(kRfcKey) + " " + kRfcSignature + "\n";
  const auto facts = check("\x72", line);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->signer.text(), kRfcKey);
  EXPECT_FALSE(check("\x73", line));
  EXPECT_FALSE(check("", line));
}

TEST_F(Trust, KeysAreKeptPrivateAndNeverOverwritten) {
  struct stat s {};
  ASSERT_EQ(::stat((dir / "key.pem").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
  EXPECT_EQ(slurp(dir / "key.pub"), key.text() + "\n");
  EXPECT_EQ(key.text().size(), 8u + 44u);
  EXPECT_EQ(key.fingerprint().size(), 19u);
  EXPECT_THAT(generate_keys(dir / "key.pem", dir / "new.pub").error().message, HasSubstr("exists"));
  EXPECT_THAT(generate_keys(dir / "new.pem", dir / "key.pub").error().message, HasSubstr("exists"));
  EXPECT_FALSE(std::filesystem::exists(dir / "new.pem"));
}

TEST_F(Trust, SignaturesAreKnownByTheirKey) {
  EXPECT_EQ(check(kMessage, std::nullopt)->kind, SignatureKind::kUnsigned);
  EXPECT_EQ(check(kMessage, signature)->kind, SignatureKind::kUnknownSigner);
  const auto trusted = check(kMessage, signature, {.known = {key}});
  ASSERT_TRUE(trusted);
  EXPECT_EQ(trusted->kind, SignatureKind::kTrusted);
  EXPECT_EQ(trusted->signer, key);
  EXPECT_EQ(check(kMessage, signature, {.pinned = {key}})->kind, SignatureKind::kTrusted);
}

TEST_F(Trust, WhatIsRequiredMustBeThere) {
  const PublicKey rfc = *parse_public_key(kRfcKey);
  EXPECT_FALSE(check(kMessage, std::nullopt, {.require_signature = true}));
  EXPECT_FALSE(check(kMessage, std::nullopt, {.pinned = {key}}));
  EXPECT_FALSE(check(kMessage, signature, {.require_signature = true}));
  EXPECT_FALSE(check(kMessage, signature, {.require_signature = true, .known = {rfc}}));
  EXPECT_TRUE(check(kMessage, signature, {.require_signature = true, .known = {rfc, key}}));
  // A pinned key is the only one that counts.
  const auto other = check(kMessage, signature, {.pinned = {rfc}, .known = {key}});
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr(key.fingerprint()));
  EXPECT_EQ(other.error().code, Code::kIntegrity);
}

TEST_F(Trust, ABadSignatureIsRefusedWhateverThePolicy) {
  for (const TrustPolicy& policy :
       {TrustPolicy{}, TrustPolicy{.known = {key}}, TrustPolicy{.pinned = {key}}}) {
    EXPECT_FALSE(check("other bytes", signature, policy));
    EXPECT_FALSE(check(std::string(kMessage) + "\n", signature, policy)) << "bytes, not text";
  }
  // Every flipped bit of the line, and every cut.
  for (size_t at = 0; at < signature.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = signature;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      const auto facts = check(kMessage, bad);
      ASSERT_FALSE(facts) << at << " " << bit;
      EXPECT_EQ(facts.error().code, Code::kIntegrity);
    }
    EXPECT_FALSE(check(kMessage, signature.substr(0, at)));
  }
  EXPECT_FALSE(check(kMessage, signature + "\n"));
  EXPECT_FALSE(check(kMessage, signature + signature));
  EXPECT_FALSE(check(kMessage, "rsa" + signature.substr(7)));
}

TEST_F(Trust, PublicKeysHaveOneForm) {
  EXPECT_EQ(*parse_public_key(key.text()), key);
  for (const std::string& bad :
       {std::string(), std::string("ed25519:"), key.text().substr(0, 51), key.text() + "=",
        key.text() + " ", " " + key.text(), "ED25519:" + key.text().substr(8),
        key.text().substr(0, 50) + "!=", std::string("ed25519:") + std::string(44, '=')}) {
    EXPECT_FALSE(parse_public_key(bad)) << bad;
  }
  // Unused bits of the last digit must be zero: 32 bytes leave two of them.
  std::string loose = key.text();
  loose[50] = static_cast<char>(loose[50] + 1);
  EXPECT_FALSE(parse_public_key(loose)) << loose;
}

TEST_F(Trust, ReadsTrustedKeys) {
  spill(dir / "trusted", "# ours\n\n" + key.text() + " the lab\r\n" + kRfcKey + "\n");
  const auto keys = read_trusted_keys(dir / "trusted");
  ASSERT_TRUE(keys) << keys.error().message;
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0], key);
  EXPECT_EQ(read_trusted_keys(dir / "nothing")->size(), 0u);
  spill(dir / "trusted", "# ours\nnonsense\n");
  EXPECT_THAT(read_trusted_keys(dir / "trusted").error().message, HasSubstr("line 2"));
}

TEST_F(Trust, TakesKeysFromTextAndFiles) {
  EXPECT_EQ(*public_key_from_argument(key.text()), key);
  EXPECT_EQ(*public_key_from_argument(dir / "key.pub"), key);
  EXPECT_THAT(public_key_from_argument(dir / "none.pub").error().message, HasSubstr("none.pub"));
  EXPECT_THAT(public_key_from_argument("ed25519:short").error().message,
              HasSubstr("44 characters"));
  spill(dir / "two", key.text() + "\n" + kRfcKey + "\n");
  EXPECT_THAT(public_key_from_argument(dir / "two").error().message, HasSubstr("2 public keys"));
}

TEST_F(Trust, RefusesOtherPrivateKeys) {
  spill(dir / "not.pem", "hello");
  EXPECT_THAT(sign_bytes(dir / "not.pem", "x").error().message, HasSubstr("not.pem"));
  EXPECT_EQ(sign_bytes(dir / "none.pem", "x").error().code, Code::kNotFound);
  std::string pem = slurp(dir / "key.pem");
  pem[40] = static_cast<char>(pem[40] ^ 1);
  spill(dir / "bad.pem", pem.substr(0, pem.size() / 2));
  EXPECT_FALSE(sign_bytes(dir / "bad.pem", "x"));
}

}  // namespace
}  // namespace lamina
