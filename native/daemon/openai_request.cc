// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/openai_request.h"

#include <algorithm>
#include <charconv>
#include <random>

#include "native/daemon/fields.h"

namespace lamina::daemon {
namespace {

using Kind = FieldError::Kind;

constexpr JsonLimits kJsonLimits{size_t{16} << 20, 32, size_t{1} << 18, true};
constexpr size_t kAnyBytes = size_t{1} << 30;  // what max_body bounds already
constexpr size_t kMostMessages = 10000;
constexpr size_t kUserBytes = 64;
constexpr int32_t kCompletionTokens = 16;  // OpenAI's default of /v1/completions

// What both kinds of request have in common, read into `request` and a pattern for its generations.
struct Reader {
  FieldError& error;
  Fields f;
  OpenAiRequest request;
  GenerateRequest pattern;

  Reader(JsonValue root, FieldError& e) : error(e), f(root, "", Fields::Nulls::kAbsent, e) {}

  void read_common();
  void read_stop();
  void read_bias();
  void read_stream();
  void read_max_tokens(std::initializer_list<const char*> names);
  void refuse_unsupported();
  void read_response_format();
  void check_choices();
};

void read_float(Fields& f, std::string_view name, double low, double high, float& value) {
  if (const auto number = f.number(name, low, high)) value = static_cast<float>(*number);
}

void Reader::read_stop() {
  const std::optional<JsonValue> stop = f.any("stop");
  if (!stop) return;
  std::vector<std::string>& out = pattern.answer.stop;
  if (stop->is_string()) {
    if (auto one = f.text("stop", 1, 256)) out.push_back(std::move(*one));
  } else if (auto many = f.texts("stop", 0, 16, 1, 256)) {
    out = std::move(*many);
  }
}

void Reader::read_bias() {
  const std::optional<JsonValue> biases = f.object("logit_bias");
  if (!biases) return;
  if (biases->size() > 4096) f.refuse(Kind::kOutOfRange, "logit_bias", "has too many tokens");
  for (JsonValue v = biases->first_child(); !v.is_missing() && f.ok(); v = v.next_sibling()) {
    int32_t token = -1;
    const std::string_view key = v.key();
    const auto [end, bad] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (bad != std::errc() || end != key.data() + key.size() || token < 0) {
      f.refuse(Kind::kWrongKind, "logit_bias", "must have token ids as names");
    } else if (!v.is_number()) {
      f.refuse(Kind::kWrongKind, "logit_bias", "must have numbers as values");
    } else if (!(v.as_double() >= -100 && v.as_double() <= 100)) {
      f.refuse(Kind::kOutOfRange, "logit_bias", "must have values from -100 to 100");
    } else {
      pattern.answer.sampling.logit_bias.emplace_back(token, static_cast<float>(v.as_double()));
    }
  }
}

void Reader::read_stream() {
  request.stream = f.flag("stream").value_or(false);
  const std::optional<JsonValue> options = f.object("stream_options");
  if (!options) return;
  if (!request.stream) {
    f.refuse(Kind::kWrongKind, "stream_options", "is only for \"stream\": true");
  }
  Fields inner(*options, "stream_options", Fields::Nulls::kAbsent, error);
  request.include_usage = inner.flag("include_usage").value_or(false);
}

void Reader::read_max_tokens(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto n = f.integer(name, 1, INT32_MAX);
    if (n) pattern.answer.max_new_tokens = static_cast<int32_t>(*n);
  }
}

// The seam for grammar-constrained sampling: what is refused here would choose a grammar for
// AnswerOptions, which reaches the session whose Sampler chooses among a step's logits.
void Reader::read_response_format() {
  const std::optional<JsonValue> format = f.object("response_format");
  if (!format) return;
  Fields inner(*format, "response_format", Fields::Nulls::kAbsent, error);
  if (inner.needed_text("type", 1, 64) == "text") return;
  inner.refuse(Kind::kOutOfRange, "type", "must be text: answers of a given form can't be had yet");
}

void Reader::refuse_unsupported() {
  for (const char* name : {"tools", "functions"}) {
    const std::optional<JsonValue> list = f.array(name, 0, kMostMessages);
    if (list && list->size() > 0) {
      f.refuse(Kind::kOutOfRange, name, "must be empty: tools can't be called yet");
    }
  }
  read_response_format();
}

void Reader::read_common() {
  request.model = f.text("model", 0, 256).value_or("");
  pattern.model = request.model;
  request.user = f.text("user", 0, kAnyBytes).value_or("").substr(0, kUserBytes);
  SamplingParams& p = pattern.answer.sampling;
  read_float(f, "temperature", 0, 2, p.temperature);
  read_float(f, "top_p", 0, 1, p.top_p);
  read_float(f, "min_p", 0, 1, p.min_p);
  if (const auto k = f.integer("top_k", -1, INT32_MAX)) {
    p.top_k = std::max(0, static_cast<int32_t>(*k));
  }
  read_float(f, "presence_penalty", -2, 2, p.presence_penalty);
  read_float(f, "frequency_penalty", -2, 2, p.frequency_penalty);
  if (p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f) p.repeat_last_n = -1;
  read_bias();
  read_stop();
  read_stream();
  request.choices_per_prompt =
      static_cast<size_t>(f.integer("n", 1, int64_t{kMaxChoices}).value_or(1));
  const auto seed = f.integer("seed", INT64_MIN, INT64_MAX);
  std::random_device device;
  p.seed = seed ? static_cast<uint64_t>(*seed) : (uint64_t{device()} << 32) | device();
}

// What an answer may hold.
void Reader::check_choices() {
  const size_t all = request.choices();
  if (all > kMaxChoices) {
    f.refuse(Kind::kOutOfRange, "n",
             "makes more than " + std::to_string(kMaxChoices) + " choices of these prompts");
  }
  if (all > kMaxHeldLogprobs && pattern.top_logprobs >= 0 && !request.stream) {
    f.refuse(Kind::kOutOfRange, "n",
             "must make at most " + std::to_string(kMaxHeldLogprobs) +
                 " choices with logprobs, or be streamed");
  }
  size_t echoed = 0;
  for (const GenerateRequest& prompt : request.prompts) echoed += prompt.prompt.size();
  if (request.echo && echoed * request.choices_per_prompt > kMaxEcho) {
    f.refuse(Kind::kOutOfRange, "echo", "makes an answer of more than 16 MB of these prompts");
  }
}

// A string, or a list of parts of which all are text.
std::string read_content(Fields& f, FieldError& error) {
  const std::optional<JsonValue> content = f.any("content");
  if (!content) return {};
  if (!content->is_array()) return f.text("content", 0, kAnyBytes).value_or("");
  std::string text;
  size_t index = 0;
  for (JsonValue v = content->first_child(); !v.is_missing() && f.ok(); v = v.next_sibling()) {
    Fields part(v, f.path_of("content") + "[" + std::to_string(index++) + "]",
                Fields::Nulls::kAbsent, error);
    if (part.needed_text("type", 1, 64) != "text") {
      part.refuse(Kind::kOutOfRange, "type", "must be text: this server takes no other content");
    }
    text += part.needed_text("text", 0, kAnyBytes);
  }
  return text;
}

std::vector<ChatMessage> read_messages(Fields& f, FieldError& error) {
  std::vector<ChatMessage> messages;
  const std::optional<JsonValue> list = f.array("messages", 1, kMostMessages);
  if (!list) {
    f.refuse(Kind::kMissing, "messages", "is needed");
    return messages;
  }
  static constexpr std::string_view kRoles[] = {"system",    "developer", "user",
                                                "assistant", "tool",      "function"};
  for (JsonValue v = list->first_child(); !v.is_missing() && f.ok(); v = v.next_sibling()) {
    Fields m(v, "messages[" + std::to_string(messages.size()) + "]", Fields::Nulls::kAbsent, error);
    ChatMessage message;
    message.role = m.needed_text("role", 1, 64);
    if (std::ranges::find(kRoles, message.role) == std::end(kRoles)) {
      m.refuse(Kind::kOutOfRange, "role", "must be system, developer, user, assistant or tool");
    }
    if (message.role == "developer") message.role = "system";
    message.content = read_content(m, error);
    const bool needed = message.role == "system" || message.role == "user";
    if (needed && v.find("content").is_missing()) m.refuse(Kind::kMissing, "content", "is needed");
    messages.push_back(std::move(message));
  }
  return messages;
}

void read_chat(Reader& r) {
  r.read_common();
  r.pattern.messages = read_messages(r.f, r.error);
  r.read_max_tokens({"max_tokens", "max_completion_tokens"});
  r.refuse_unsupported();
  const bool logprobs = r.f.flag("logprobs").value_or(false);
  const auto top = r.f.integer("top_logprobs", 0, 20);
  if (top && !logprobs) r.f.refuse(Kind::kWrongKind, "top_logprobs", "needs \"logprobs\": true");
  if (logprobs) r.pattern.top_logprobs = static_cast<int32_t>(top.value_or(0));
  r.request.prompts = {r.pattern};
  r.check_choices();
}

// What is continued: a text, or tokens, whose upper limit is the vocabulary's and the service's.
struct Prompt {
  std::string text;
  std::vector<int32_t> ids;
};

// A text, tokens, or a list of either.
std::vector<Prompt> read_prompts(Fields& f) {
  const std::optional<JsonValue> prompt = f.any("prompt");
  if (!prompt) return {{}};
  if (!prompt->is_array()) return {{f.text("prompt", 0, kAnyBytes).value_or(""), {}}};
  const JsonValue first = prompt->first_child();
  if (first.is_number()) return {{"", read_token_ids(f, "prompt", *prompt)}};
  std::vector<Prompt> prompts;
  if (!first.is_array()) {
    const auto texts = f.texts("prompt", 1, kMaxChoices, 0, kAnyBytes);
    for (const std::string& text : texts.value_or(std::vector<std::string>())) {
      prompts.push_back({text, {}});
    }
    return prompts;
  }
  if (!f.array("prompt", 1, kMaxChoices)) return {};
  for (JsonValue v = first; !v.is_missing() && f.ok(); v = v.next_sibling()) {
    const std::string at = "prompt[" + std::to_string(prompts.size()) + "]";
    if (!v.is_array()) f.refuse(Kind::kWrongKind, at, "must be token ids like the one before it");
    prompts.push_back({"", read_token_ids(f, at, v)});
  }
  return prompts;
}

void read_completion(Reader& r) {
  r.pattern.answer.max_new_tokens = kCompletionTokens;
  r.read_common();
  r.read_max_tokens({"max_tokens"});
  r.read_response_format();
  if (const auto top = r.f.integer("logprobs", 0, 20)) {
    r.pattern.top_logprobs = static_cast<int32_t>(*top);
  }
  r.request.echo = r.f.flag("echo").value_or(false);
  if (r.request.echo && r.pattern.top_logprobs >= 0) {
    r.f.refuse(Kind::kWrongKind, "echo", "can't be had with logprobs here");
  }
  if (!r.f.text("suffix", 0, kAnyBytes).value_or("").empty()) {
    r.f.refuse(Kind::kOutOfRange, "suffix", "must be empty: text is only continued");
  }
  const auto best_of = r.f.integer("best_of", 1, int64_t{kMaxChoices});
  if (best_of && static_cast<size_t>(*best_of) != r.request.choices_per_prompt) {
    r.f.refuse(Kind::kOutOfRange, "best_of", "must equal n");
  }
  const std::vector<Prompt> prompts = read_prompts(r.f);
  for (const Prompt& prompt : prompts) {
    if (r.request.echo && !prompt.ids.empty()) {
      r.f.refuse(Kind::kWrongKind, "echo", "can't be had of token ids here");
    }
    GenerateRequest generation = r.pattern;
    generation.prompt = prompt.text;
    generation.prompt_ids = prompt.ids;
    r.request.prompts.push_back(std::move(generation));
  }
  r.check_choices();
}

OpenAiError as_error(const FieldError& error) {
  OpenAiError out;
  out.param = error.field;
  out.message =
      error.field.empty() ? "The body " + error.message : "'" + error.field + "' " + error.message;
  if (error.kind == Kind::kMissing) out.code = "missing_required_parameter";
  if (error.kind == Kind::kWrongKind) out.code = "invalid_type";
  if (error.kind == Kind::kOutOfRange) out.code = "invalid_value";
  return out;
}

std::variant<OpenAiRequest, OpenAiError> parse(std::string_view body, bool chat) {
  const auto document = JsonDocument::parse(body, "body", kJsonLimits);
  if (!document) return OpenAiError{400, document.error().message};
  FieldError error;
  Reader reader((*document)->root(), error);
  if (error.kind == Kind::kNone) {
    reader.request.chat = chat;
    chat ? read_chat(reader) : read_completion(reader);
  }
  if (error.kind != Kind::kNone) return as_error(error);
  return std::move(reader.request);
}

}  // namespace

GenerateRequest OpenAiRequest::choice(size_t index) const {
  GenerateRequest generation = prompts[index / choices_per_prompt];
  generation.answer.sampling.seed += index % choices_per_prompt;  // or all were the same
  return generation;
}

std::variant<OpenAiRequest, OpenAiError> parse_chat_request(std::string_view body) {
  return parse(body, true);
}

std::variant<OpenAiRequest, OpenAiError> parse_completion_request(std::string_view body) {
  return parse(body, false);
}

}  // namespace lamina::daemon
