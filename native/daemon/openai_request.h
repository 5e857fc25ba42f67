// SPDX-License-Identifier: Apache-2.0
// Requests of OpenAI's HTTP API, as far as it is about text. Fields that are not known are ignored,
// as OpenAI's servers do; a known one of the wrong kind is refused by name, and so is what would
// change the answer and can't be done.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "native/daemon/service.h"

namespace lamina::daemon {

struct OpenAiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;  // empty: null
  std::string code;   // empty: null
};

std::string openai_error_body(const OpenAiError& error);
// How a refusal by the service reads.
OpenAiError openai_error(const Error& error, bool chat);

struct OpenAiRequest {
  bool chat = true;
  std::string model;  // as sent
  std::string user;   // as sent, at most 64 bytes: whom the client asks for
  bool stream = false;
  bool include_usage = false;                // of a stream: one more chunk with it
  bool echo = false;                         // completions: the prompt before each answer
  std::vector<GenerateRequest> prompts;      // at least one
  size_t choices_per_prompt = 1;             // which stand together

  size_t choices() const { return prompts.size() * choices_per_prompt; }
  GenerateRequest choice(size_t index) const;  // each has a seed of its own
};

std::variant<OpenAiRequest, OpenAiError> parse_chat_request(std::string_view body);
std::variant<OpenAiRequest, OpenAiError> parse_completion_request(std::string_view body);

constexpr size_t kMaxChoices = 128;            // of all prompts
constexpr size_t kMaxHeldLogprobs = 8;         // choices whose logprobs wait for the last one's end
constexpr size_t kMaxEcho = size_t{16} << 20;  // bytes of prompts in an answer

}  // namespace lamina::daemon
