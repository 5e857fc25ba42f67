// SPDX-License-Identifier: Apache-2.0
#include "native/cli/conversation.h"

#include <algorithm>
#include <ctime>

#include "native/cli/text_ids.h"

namespace lamina::cli {
namespace {

constexpr std::string_view kFormat = "lamina-chat-1";
constexpr size_t kMaxTurns = 100000;

ChatDate today() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return {local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
          local.tm_hour,        local.tm_min,     std::min(local.tm_sec, 59)};
}

}  // namespace

Result<Conversation> Conversation::create(const Manifest& manifest, const Tokenizer& tokenizer) {
  Conversation conversation;
  conversation.tokenizer_ = &tokenizer;
  conversation.options_.bos_token = manifest.bos_text;
  conversation.options_.eos_token = manifest.eos_text;
  conversation.options_.date = today();
  if (!manifest.chat_template.empty()) {
    Result<ChatTemplate> parsed = ChatTemplate::parse(manifest.chat_template, "chat template");
    if (!parsed) {
      Error error = parsed.error();
      error.code = Code::kInvalidModel;
      error.message += "; --raw completes text without the template";
      return error;
    }
    conversation.template_ = std::move(*parsed);
  }
  return conversation;
}

Result<std::vector<int32_t>> Conversation::prompt_ids() const {
  std::vector<ChatMessage> messages;
  if (!system_.empty()) messages.push_back({"system", system_});
  messages.insert(messages.end(), turns_.begin(), turns_.end());
  LAMINA_ASSIGN(const ChatPrompt prompt, template_->render(messages, options_));
  return chat_ids(*tokenizer_, prompt);
}

Result<ChatPrompt> Conversation::prompt(std::span<const ChatMessage> messages) const {
  ChatOptions options = options_;
  options.date = today();
  return template_->render(messages, options);
}

std::string Conversation::to_json() const {
  JsonWriter json(2);
  json.begin_object().member("format", kFormat).member("system", system_);
  json.key("messages").begin_array();
  for (const ChatMessage& turn : turns_) {
    json.begin_object().member("role", turn.role).member("content", turn.content).end_object();
  }
  return json.end_array().end_object().take() + "\n";
}

Result<void> Conversation::from_json(const std::string& text, const std::string& what) {
  Result<std::unique_ptr<JsonDocument>> document = JsonDocument::parse(text, what);
  if (!document) return make_error(Code::kInvalidArgument, "%s", document.error().message.c_str());
  const JsonValue root = (*document)->root();
  LAMINA_ASSIGN(const std::string file_format, root.get_string_or("format", ""));
  if (file_format != kFormat) {
    return make_error(Code::kInvalidArgument, "%s is no conversation saved by /save", what.c_str());
  }
  LAMINA_ASSIGN(std::string system, root.get_string_or("system", ""));
  LAMINA_ASSIGN(const JsonValue messages, root.get_array("messages"));
  if (messages.size() > kMaxTurns) {
    return messages.error(Code::kResourceExhausted, "has too many messages");
  }
  std::vector<ChatMessage> turns;
  for (JsonValue m = messages.first_child(); !m.is_missing(); m = m.next_sibling()) {
    ChatMessage turn;
    LAMINA_ASSIGN(turn.role, m.get_string("role"));
    LAMINA_ASSIGN(turn.content, m.get_string("content"));
    if (turn.role != "user" && turn.role != "assistant") {
      return m.error(Code::kInvalidArgument, "has a role other than user or assistant");
    }
    turns.push_back(std::move(turn));
  }
  system_ = std::move(system);
  turns_ = std::move(turns);
  return {};
}

}  // namespace lamina::cli
