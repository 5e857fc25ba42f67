// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/openai_answer.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/utf8.h"

namespace lamina::daemon {
namespace {

double finite(float logprob) {
  return std::max(static_cast<double>(logprob), -9999.0);
}

void write_usage(JsonWriter& json, const Usage& usage) {
  json.key("usage").begin_object().member("prompt_tokens", usage.prompt_tokens);
  json.member("completion_tokens", usage.completion_tokens);
  json.member("total_tokens", usage.prompt_tokens + usage.completion_tokens);
  json.key("prompt_tokens_details").begin_object();
  json.member("cached_tokens", usage.cached_tokens).end_object().end_object();
}

void write_head(JsonWriter& json, const OpenAiHead& head, const char* object) {
  json.begin_object().member("id", head.id).member("object", object);
  json.member("created", head.created).member("model", head.model);
}

void write_chat_logprob(JsonWriter& json, const Logprob& p) {
  json.begin_object().member("token", p.bytes).member("logprob", finite(p.logprob));
  json.key("bytes").begin_array();
  for (const char c : p.bytes) json.value(static_cast<int>(static_cast<unsigned char>(c)));
  json.end_array();
}

template <typename Tokens>
void write_chat_logprobs(JsonWriter& json, const Tokens& tokens) {
  json.key("logprobs").begin_object().key("content").begin_array();
  for (const GenerationEvent* event : tokens) {
    if (event->logprobs.empty()) continue;
    write_chat_logprob(json, event->logprobs.front());
    json.key("top_logprobs").begin_array();
    for (size_t i = 1; i < event->logprobs.size(); ++i) {
      write_chat_logprob(json, event->logprobs[i]);
      json.end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().key("refusal").null().end_object();
}

// The older shape: parallel arrays.
void write_completion_logprobs(JsonWriter& json, const std::vector<const GenerationEvent*>& tokens,
                               size_t offset) {
  json.key("logprobs").begin_object().key("tokens").begin_array();
  for (const GenerationEvent* e : tokens) json.value(e->logprobs.front().bytes);
  json.end_array().key("token_logprobs").begin_array();
  for (const GenerationEvent* e : tokens) json.value(finite(e->logprobs.front().logprob));
  json.end_array().key("top_logprobs").begin_array();
  for (const GenerationEvent* e : tokens) {
    json.begin_object();
    std::vector<std::string> names;  // two tokens may have the same text: the likelier one is told
    for (size_t i = 1; i < e->logprobs.size(); ++i) {
      std::string name = repaired_utf8(e->logprobs[i].bytes);
      if (std::ranges::find(names, name) != names.end()) continue;
      json.member(name, finite(e->logprobs[i].logprob));
      names.push_back(std::move(name));
    }
    json.end_object();
  }
  json.end_array().key("text_offset").begin_array();
  for (const GenerationEvent* e : tokens) {
    json.value(uint64_t{offset});
    offset += e->logprobs.front().bytes.size();
  }
  json.end_array().end_object();
}

void write_logprobs(JsonWriter& json, bool chat, bool asked,
                    const std::vector<const GenerationEvent*>& tokens, size_t offset) {
  std::vector<const GenerationEvent*> with;
  for (const GenerationEvent* e : tokens) {
    if (!e->logprobs.empty()) with.push_back(e);
  }
  if (!asked) {
    json.key("logprobs").null();
  } else if (chat) {
    write_chat_logprobs(json, with);
  } else {
    write_completion_logprobs(json, with, offset);
  }
}

void write_finish(JsonWriter& json, FinishReason finish) {
  json.key("finish_reason");
  if (finish == FinishReason::kNone) {
    json.null();
  } else {
    json.value(openai_finish(finish));
  }
}

void write_choice(JsonWriter& json, const OpenAiHead& head, int index, const OpenAiChoice& choice,
                  bool logprobs) {
  json.begin_object().member("index", index);
  if (head.chat) {
    json.key("message").begin_object().member("role", "assistant").member("content", choice.text);
    json.key("refusal").null().end_object();
  } else {
    json.member("text", choice.text);
  }
  std::vector<const GenerationEvent*> tokens;
  for (const GenerationEvent& token : choice.tokens) tokens.push_back(&token);
  write_logprobs(json, head.chat, logprobs, tokens, 0);
  write_finish(json, choice.finish);
  json.end_object();
}

void write_model(JsonWriter& json, const ModelStatus& model, int64_t created) {
  json.begin_object().member("id", model.name).member("object", "model");
  json.member("created", created).member("owned_by", "lamina").end_object();
}

}  // namespace

std::string_view openai_finish(FinishReason reason) {
  const bool cut = reason == FinishReason::kLength || reason == FinishReason::kContext;
  return cut ? "length" : "stop";
}

Usage sum_usage(const std::vector<OpenAiChoice>& choices, size_t choices_per_prompt) {
  Usage sum;
  for (size_t i = 0; i < choices.size(); ++i) {
    const Usage& usage = choices[i].usage;
    sum.completion_tokens += usage.completion_tokens;
    if (i % choices_per_prompt != 0) continue;
    sum.prompt_tokens += usage.prompt_tokens;
    sum.cached_tokens += usage.cached_tokens;
  }
  return sum;
}

std::string openai_error_body(const OpenAiError& error) {
  JsonWriter json;
  json.begin_object().key("error").begin_object();
  json.member("message", error.message).member("type", error.type);
  const auto text_or_null = [&](const char* name, const std::string& text) {
    json.key(name);
    text.empty() ? json.null() : json.value(text);
  };
  text_or_null("param", error.param);
  text_or_null("code", error.code);
  return json.end_object().end_object().take();
}

OpenAiError openai_error(const Error& error, bool chat) {
  switch (error.code) {
    case Code::kInvalidArgument:
    case Code::kUnsupported:
      return {400, error.message, "invalid_request_error", "", "invalid_value"};
    case Code::kNotFound:
      return {404, error.message, "invalid_request_error", "model", "model_not_found"};
    case Code::kContextExceeded:
      return {400, error.message, "invalid_request_error", chat ? "messages" : "prompt",
              "context_length_exceeded"};
    case Code::kQueueFull:
      return {429, error.message, "rate_limit_error", "", "queue_full"};
    case Code::kDraining:
    case Code::kUnloaded:
      return {503, error.message, "server_error", "", std::string(code_name(error.code))};
    case Code::kCancelled:
    case Code::kOutOfMemory:
    case Code::kResourceExhausted:
      return {503, error.message, "server_error", "", "server_unavailable"};
    default:
      return {500, error.message, "server_error", "", std::string(code_name(error.code))};
  }
}

std::string openai_answer(const OpenAiHead& head, const std::vector<OpenAiChoice>& choices,
                          const Usage& usage, bool logprobs) {
  JsonWriter json;
  write_head(json, head, head.chat ? "chat.completion" : "text_completion");
  json.key("choices").begin_array();
  for (size_t i = 0; i < choices.size(); ++i) {
    write_choice(json, head, static_cast<int>(i), choices[i], logprobs);
  }
  json.end_array();
  write_usage(json, usage);
  return json.end_object().take();
}

std::string openai_chunk(const OpenAiHead& head, const OpenAiChunk& chunk) {
  JsonWriter json;
  write_head(json, head, head.chat ? "chat.completion.chunk" : "text_completion");
  json.key("choices").begin_array().begin_object().member("index", chunk.index);
  if (head.chat) {
    json.key("delta").begin_object();
    if (chunk.first) json.member("role", "assistant");
    if (chunk.first || !chunk.text.empty()) json.member("content", chunk.text);
    json.end_object();
  } else {
    json.member("text", chunk.text);
  }
  write_logprobs(json, head.chat, chunk.logprobs && !chunk.tokens.empty(), chunk.tokens,
                 chunk.text_offset);
  write_finish(json, chunk.finish);
  json.end_object().end_array();
  if (chunk.usage_later) json.key("usage").null();
  return json.end_object().take();
}

std::string openai_usage_chunk(const OpenAiHead& head, const Usage& usage) {
  JsonWriter json;
  write_head(json, head, head.chat ? "chat.completion.chunk" : "text_completion");
  json.key("choices").begin_array().end_array();
  write_usage(json, usage);
  return json.end_object().take();
}

std::string openai_model(const ModelStatus& model, int64_t created) {
  JsonWriter json;
  write_model(json, model, created);
  return json.take();
}

std::string openai_models(const std::vector<ModelStatus>& models, int64_t created) {
  JsonWriter json;
  json.begin_object().member("object", "list").key("data").begin_array();
  for (const ModelStatus& model : models) write_model(json, model, created);
  return json.end_array().end_object().take();
}

}  // namespace lamina::daemon
