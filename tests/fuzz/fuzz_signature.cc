// SPDX-License-Identifier: Apache-2.0
// A manifest.sig over fixed bytes. Nobody can make a valid one by chance, so whatever is accepted
// is the seed's own signature.
#include <cstdlib>

#include "core/base/check.h"
#include "native/platform/trust.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lamina;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // RFC 8032, section 7.1, TEST 2 signs the byte 0x72.
  constexpr std::string_view kGenuine =
      "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw= "
      "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==\n";
  const auto facts = check_signature("\x72", text, {}, "model");
  const auto genuine_key = parse_public_key(kGenuine.substr(0, 52));
  LAMINA_CHECK(genuine_key.has_value());
  if (facts && facts->signer == *genuine_key) LAMINA_CHECK(text == kGenuine);
  const auto key = parse_public_key(text);
  if (key) LAMINA_CHECK(key->text() == text);
  return 0;
}
