// SPDX-License-Identifier: Apache-2.0
// Answers in the shapes of OpenAI's HTTP API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "native/daemon/openai_request.h"
#include "native/daemon/service.h"

namespace lamina::daemon {

struct OpenAiHead {
  bool chat = true;
  std::string id;       // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;  // seconds since 1970
  std::string model;
};

// One choice as it grows.
struct OpenAiChoice {
  std::string text;
  std::vector<GenerationEvent> tokens;  // those with logprobs, where these were asked for
  FinishReason finish = FinishReason::kNone;
  Usage usage;
};

// "stop" or "length"; OpenAI has no other that applies.
std::string_view openai_finish(FinishReason reason);

// Prompts count once, however many choices there are of one.
Usage sum_usage(const std::vector<OpenAiChoice>& choices, size_t choices_per_prompt);

std::string openai_answer(const OpenAiHead& head, const std::vector<OpenAiChoice>& choices,
                          const Usage& usage, bool logprobs);

// One chunk of a stream. `first`: it begins the choice. `usage_later`: chunks say that none is told
// yet, as OpenAI's do when it comes at the end.
struct OpenAiChunk {
  int index = 0;
  bool first = false;
  std::string text;
  std::vector<const GenerationEvent*> tokens;  // for logprobs
  size_t text_offset = 0;                      // bytes of the choice before this chunk
  FinishReason finish = FinishReason::kNone;
  bool logprobs = false, usage_later = false;
};
std::string openai_chunk(const OpenAiHead& head, const OpenAiChunk& chunk);
std::string openai_usage_chunk(const OpenAiHead& head, const Usage& usage);

std::string openai_model(const ModelStatus& model, int64_t created);
std::string openai_models(const std::vector<ModelStatus>& models, int64_t created);

}  // namespace lamina::daemon
