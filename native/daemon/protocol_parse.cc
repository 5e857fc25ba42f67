// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "native/daemon/fields.h"
#include "native/daemon/protocol.h"

namespace lamina::daemon {
namespace {

using Limits = ProtocolLimits;
using Kind = FieldError::Kind;

constexpr size_t kAnyBytes = size_t{1} << 30;  // what the size of a message bounds already

constexpr JsonLimits kJsonLimits{size_t{4} << 20, 16, size_t{1} << 17, true};

const char* code_of(Kind kind) {
  switch (kind) {
    case Kind::kMissing:
      return error_code::kMissingField;
    case Kind::kOutOfRange:
      return error_code::kOutOfRange;
    case Kind::kUnknown:
      return error_code::kUnknownField;
    default:
      return error_code::kBadField;
  }
}

std::string id_of(Fields& f) {
  return f.needed_text("id", 1, Limits::kIdBytes);
}
std::string name_of(Fields& f, std::string_view field) {
  return f.needed_text(field, 1, Limits::kNameBytes);
}

HelloMessage parse_hello(Fields& f) {
  return {f.text("client", 0, Limits::kNameBytes).value_or("")};
}

ResumeMessage parse_resume(Fields& f) {
  ResumeMessage m;
  m.session = f.needed_text("session", 1, Limits::kIdBytes);
  const std::optional<JsonValue> seqs = f.object("last_seq");
  if (!seqs) {
    f.refuse(Kind::kMissing, "last_seq", "is needed: {} where no frame has arrived");
    return m;
  }
  for (JsonValue v = seqs->first_child(); !v.is_missing() && f.ok(); v = v.next_sibling()) {
    const bool whole = v.is_int() && v.as_int() >= 0 && v.as_int() <= INT32_MAX;
    if (!whole || v.key().empty() || v.key().size() > Limits::kIdBytes) {
      f.refuse(v.is_number() ? Kind::kOutOfRange : Kind::kWrongKind, "last_seq",
               "must name requests with the number of the last frame that arrived");
    }
    m.last_seq.emplace(std::string(v.key()), whole ? v.as_int() : 0);
  }
  return m;
}

std::vector<ChatMessage> parse_messages(JsonValue list, FieldError& error) {
  static constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
  std::vector<ChatMessage> messages;
  for (JsonValue v = list.first_child(); !v.is_missing(); v = v.next_sibling()) {
    Fields f(v, "messages[" + std::to_string(messages.size()) + "]", Fields::Nulls::kRefused,
             error);
    ChatMessage message;
    message.role = f.needed_text("role", 1, Limits::kNameBytes);
    message.content = f.needed_text("content", 0, kAnyBytes);
    if (std::ranges::find(kRoles, message.role) == std::end(kRoles)) {
      f.refuse(Kind::kWrongKind, "role", "must be system, user, assistant or tool");
    }
    f.refuse_others();
    if (!f.ok()) break;
    messages.push_back(std::move(message));
  }
  return messages;
}

// {"15043": 1.5}: token ids as names, because JSON has no others.
void parse_biases(Fields& f, SamplingParams& params) {
  const std::optional<JsonValue> biases = f.object("logit_bias");
  if (!biases) return;
  if (biases->size() > Limits::kBiases) {
    f.refuse(Kind::kOutOfRange, "logit_bias", "has too many tokens");
  }
  for (JsonValue v = biases->first_child(); !v.is_missing() && f.ok(); v = v.next_sibling()) {
    int32_t token = -1;
    const std::string_view key = v.key();
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size() || token < 0) {
      f.refuse(Kind::kWrongKind, "logit_bias", "must have token ids as names");
    } else if (!v.is_number()) {
      f.refuse(Kind::kWrongKind, "logit_bias." + std::string(key), "must be a number");
    } else if (!(v.as_double() >= -100 && v.as_double() <= 100)) {
      f.refuse(Kind::kOutOfRange, "logit_bias." + std::string(key), "must be from -100 to 100");
    } else {
      params.logit_bias.emplace_back(token, static_cast<float>(v.as_double()));
    }
  }
}

void read_float(Fields& f, std::string_view name, double low, double high, float& value) {
  if (const auto number = f.number(name, low, high)) value = static_cast<float>(*number);
}

void parse_sampling(JsonValue object, SamplingParams& params, FieldError& error) {
  Fields f(object, "sampling", Fields::Nulls::kRefused, error);
  read_float(f, "temperature", 0, 100, params.temperature);
  read_float(f, "top_p", 0, 1, params.top_p);
  read_float(f, "min_p", 0, 1, params.min_p);
  read_float(f, "repeat_penalty", 0.1, 100, params.repeat_penalty);
  read_float(f, "presence_penalty", -100, 100, params.presence_penalty);
  read_float(f, "frequency_penalty", -100, 100, params.frequency_penalty);
  if (const auto k = f.integer("top_k", 0, INT32_MAX)) params.top_k = static_cast<int32_t>(*k);
  if (const auto n = f.integer("repeat_last_n", -1, 1 << 20)) {
    params.repeat_last_n = static_cast<int32_t>(*n);
  }
  parse_biases(f, params);
  f.refuse_others();
}

void parse_prompt(Fields& f, GenerateRequest& request, FieldError& error) {
  const std::optional<JsonValue> messages = f.array("messages", 1, Limits::kMessages);
  const std::optional<std::string> prompt = f.text("prompt", 0, kAnyBytes);
  const std::optional<JsonValue> ids = f.array("prompt_ids", 1, Limits::kPromptIds);
  if (messages && prompt) f.refuse(Kind::kWrongKind, "prompt", "and messages exclude each other");
  if (ids && (messages || prompt)) {
    f.refuse(Kind::kWrongKind, "prompt_ids", "and messages or prompt exclude each other");
  }
  if (!messages && !prompt && !ids) {
    f.refuse(Kind::kMissing, "messages", "or prompt or prompt_ids is needed");
  }
  if (const auto begun = f.text("begun", 0, kAnyBytes)) {
    if (!messages) f.refuse(Kind::kWrongKind, "begun", "is for messages alone");
    request.begun = *begun;
  }
  if (messages) request.messages = parse_messages(*messages, error);
  if (ids) request.prompt_ids = read_token_ids(f, "prompt_ids", *ids);
  request.prompt = prompt.value_or("");
}

GenerateMessage parse_generate(Fields& f, FieldError& error) {
  GenerateMessage m;
  m.id = id_of(f);
  m.request.model = f.text("model", 1, Limits::kNameBytes).value_or("");
  parse_prompt(f, m.request, error);
  AnswerOptions& answer = m.request.answer;
  if (const auto sampling = f.object("sampling")) parse_sampling(*sampling, answer.sampling, error);
  if (auto stop = f.texts("stop", 0, Limits::kStops, 1, Limits::kStopBytes)) {
    answer.stop = std::move(*stop);
  }
  if (const auto seed = f.integer("seed", 0, static_cast<int64_t>(kMaxSeed))) {
    answer.sampling.seed = static_cast<uint64_t>(*seed);
    m.has_seed = true;
  }
  if (const auto n = f.integer("max_tokens", 1, INT32_MAX)) {
    answer.max_new_tokens = static_cast<int32_t>(*n);
  }
  answer.ignore_eos = f.flag("ignore_eos").value_or(false);
  if (const auto n = f.integer("logprobs", 0, static_cast<int64_t>(Limits::kTopLogprobs))) {
    m.request.top_logprobs = static_cast<int32_t>(*n);
  }
  return m;
}

StatusMessage parse_status(Fields& f) {
  StatusMessage m;
  m.subscribe = f.flag("subscribe").value_or(true);
  m.interval = f.number("interval", 0.1, 3600).value_or(1.0);
  return m;
}

std::optional<ClientMessage> parse_by_type(const std::string& type, Fields& f, FieldError& error) {
  if (type == "hello") return parse_hello(f);
  if (type == "resume") return parse_resume(f);
  if (type == "generate") return parse_generate(f, error);
  if (type == "cancel") return CancelMessage{id_of(f)};
  if (type == "load") {
    std::string id = id_of(f);
    return LoadMessage{std::move(id), name_of(f, "model")};
  }
  if (type == "unload") {
    std::string id = id_of(f);
    return UnloadMessage{std::move(id), name_of(f, "model")};
  }
  if (type == "switch_backend") {
    SwitchBackendMessage m;
    m.id = id_of(f);
    m.model = f.text("model", 1, Limits::kNameBytes).value_or("");
    m.backend = name_of(f, "backend");
    return m;
  }
  if (type == "status") return parse_status(f);
  return std::nullopt;
}

ProtocolError as_error(const FieldError& error, std::string id) {
  const std::string what = error.field.empty() ? "the message" : "field '" + error.field + "'";
  return {code_of(error.kind), what + " " + error.message, error.field, std::move(id)};
}

}  // namespace

ParsedMessage parse_client_message(std::string_view text) {
  const auto document = JsonDocument::parse(text, "message", kJsonLimits);
  if (!document) return ProtocolError{error_code::kBadJson, document.error().message, "", ""};
  const JsonValue root = (*document)->root();
  FieldError error;
  Fields f(root, "", Fields::Nulls::kRefused, error);
  const JsonValue named = root.find("id");
  const bool has_id = named.is_string() && named.as_string().size() <= Limits::kIdBytes;
  std::string id = has_id ? std::string(named.as_string()) : "";
  const std::string type = f.needed_text("type", 1, Limits::kIdBytes);
  if (!f.ok()) return as_error(error, std::move(id));
  std::optional<ClientMessage> message = parse_by_type(type, f, error);
  if (!message) {
    return ProtocolError{error_code::kUnknownType, "no message has the type " + quote(type), "type",
                         std::move(id)};
  }
  f.refuse_others();
  if (!f.ok()) return as_error(error, std::move(id));
  return *std::move(message);
}

}  // namespace lamina::daemon
