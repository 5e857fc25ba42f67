// SPDX-License-Identifier: Apache-2.0
// Messages of lamina.v1 and bodies of OpenAI's API: read or refused, never more.
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "native/daemon/openai_request.h"
#include "native/daemon/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lamina::daemon;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ParsedMessage parsed = parse_client_message(text);
  if (const auto* error = std::get_if<ProtocolError>(&parsed)) {
    LAMINA_CHECK(!error->code.empty());
    LAMINA_CHECK(lamina::is_valid_utf8(error_frame(*error)));
  } else if (const auto* m = std::get_if<GenerateMessage>(&std::get<ClientMessage>(parsed))) {
    LAMINA_CHECK(!m->id.empty() && m->request.top_logprobs <= 20);
    LAMINA_CHECK(m->request.answer.sampling.seed <= kMaxSeed);
  }
  for (const auto& request : {parse_chat_request(text), parse_completion_request(text)}) {
    if (const auto* error = std::get_if<OpenAiError>(&request)) {
      LAMINA_CHECK(lamina::is_valid_utf8(openai_error_body(*error)));
    } else {
      LAMINA_CHECK(std::get<OpenAiRequest>(request).choices() <= kMaxChoices);
    }
  }
  return 0;
}
