// SPDX-License-Identifier: Apache-2.0
#include "core/model/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/utf8.h"
#include "core/model/jinja_interpreter.h"
#include "core/model/jinja_parser.h"
#include "core/model/jinja_runtime.h"

namespace lamina {

namespace {

using jinja::Dict;
using jinja::Heap;
using jinja::Text;
using jinja::Value;

constexpr size_t kMaxConversationBytes = size_t{8} << 20;
constexpr size_t kMaxMessages = 1 << 16;

// A role of this list is printed as the core's own word; no other text of a message ever is.
constexpr std::array<std::string_view, 10> kKnownRoles = {
    "system", "user",     "assistant", "tool",  "ipython",
    "model",  "function", "developer", "human", "environment"};

Error in_file(const std::string& file_name, const Error& error) {
  return make_error(error.code, "%s: %s", file_name.c_str(), error.message.c_str());
}

Result<void> check_conversation(std::span<const ChatMessage> messages) {
  size_t bytes = 0;
  for (const ChatMessage& message : messages) bytes += message.role.size() + message.content.size();
  if (messages.size() > kMaxMessages || bytes > kMaxConversationBytes) {
    return make_error(Code::kResourceExhausted,
                      "the conversation has %zu messages of %zu bytes, more than %zu or %zu",
                      messages.size(), bytes, kMaxMessages, kMaxConversationBytes);
  }
  return {};
}

Result<void> check_date(const ChatDate& date) {
  const bool valid = date.year >= 0 && date.year <= 9999 && date.month >= 1 && date.month <= 12 &&
                     date.day >= 1 && date.day <= 31 && date.hour >= 0 && date.hour <= 23 &&
                     date.minute >= 0 && date.minute <= 59 && date.second >= 0 && date.second <= 60;
  if (valid) return {};
  return make_error(Code::kInvalidArgument, "date %d-%d-%d %d:%d:%d does not exist", date.year,
                    date.month, date.day, date.hour, date.minute, date.second);
}

Result<Value> message_dict(Heap& heap, const ChatMessage& message) {
  const auto known = std::find(kKnownRoles.begin(), kKnownRoles.end(), message.role);
  const bool is_known = known != kKnownRoles.end();
  LAMINA_ASSIGN(const Value role_key, heap.string(Text("role", true)));
  LAMINA_ASSIGN(const Value content_key, heap.string(Text("content", true)));
  LAMINA_ASSIGN(const Value role, heap.string(Text(repaired_utf8(message.role), is_known)));
  LAMINA_ASSIGN(const Value content, heap.string(Text(repaired_utf8(message.content), false)));
  Dict dict;
  dict.members = {{role_key, role}, {content_key, content}};
  return heap.dict(std::move(dict));
}

Result<void> define_variables(jinja::Interpreter& interpreter, Heap& heap,
                              std::span<const ChatMessage> messages, const ChatOptions& options) {
  std::vector<Value> items;
  for (const ChatMessage& message : messages) {
    LAMINA_ASSIGN(const Value item, message_dict(heap, message));
    items.push_back(item);
  }
  LAMINA_ASSIGN(const Value list, heap.list(std::move(items)));
  interpreter.define("messages", list);
  interpreter.define("add_generation_prompt", Value::boolean(options.add_generation_prompt));
  interpreter.define("tools", Value::none());
  interpreter.define("documents", Value::none());
  const std::pair<const char*, const std::string&> tokens[] = {{"bos_token", options.bos_token},
                                                               {"eos_token", options.eos_token},
                                                               {"unk_token", options.unk_token},
                                                               {"pad_token", options.pad_token}};
  for (const auto& [name, text] : tokens) {
    if (text.empty()) continue;
    LAMINA_ASSIGN(const Value token, heap.string(Text(repaired_utf8(text), true)));
    interpreter.define(name, token);
  }
  return {};
}

Result<Text> run(const jinja::Program& program, std::span<const ChatMessage> messages,
                 const ChatOptions& options) {
  LAMINA_TRY(check_conversation(messages));
  jinja::Runtime runtime{jinja::Limits{}};
  if (options.date) {
    LAMINA_TRY(check_date(*options.date));
    runtime.now = &*options.date;
  }
  jinja::Interpreter interpreter(program, runtime);
  LAMINA_TRY(define_variables(interpreter, runtime.heap, messages, options));
  return interpreter.run();
}

}  // namespace

std::string ChatPrompt::text() const {
  std::string all;
  for (const ChatSegment& segment : segments) all += segment.text;
  return all;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string_view file_name) {
  auto program = jinja::parse(source);
  ChatTemplate result;
  result.file_name_ = file_name;
  if (!program) return in_file(result.file_name_, program.error());
  result.program_ = std::move(program).value();
  return result;
}

Result<ChatPrompt> ChatTemplate::render(std::span<const ChatMessage> messages,
                                        const ChatOptions& options) const {
  auto text = run(*program_, messages, options);
  if (!text) return in_file(file_name_, text.error());
  ChatPrompt prompt;
  size_t begin = 0;
  for (const Text::Run& run : text->runs()) {
    prompt.segments.push_back(
        {std::string(text->bytes().substr(begin, run.end - begin)), run.trusted});
    begin = run.end;
  }
  return prompt;
}

}  // namespace lamina
