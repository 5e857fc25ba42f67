// SPDX-License-Identifier: Apache-2.0
// From messages to token ids by the model's chat template, and a conversation as a file.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/model/chat_template.h"
#include "core/model/manifest.h"
#include "core/model/tokenizer.h"

namespace lamina::cli {

class Conversation {
 public:
  // kInvalidModel when the model's template can't be parsed. `tokenizer` outlives this.
  static Result<Conversation> create(const Manifest& manifest, const Tokenizer& tokenizer);

  bool has_template() const { return template_.has_value(); }

  // An empty text takes the system message away.
  void set_system(std::string text) { system_ = std::move(text); }
  const std::string& system() const { return system_; }
  void add(std::string role, std::string content) {
    turns_.push_back({std::move(role), std::move(content)});
  }
  void drop_last() { turns_.pop_back(); }
  void clear() { turns_.clear(); }
  const std::vector<ChatMessage>& turns() const { return turns_; }  // without the system message

  // The prompt for the assistant's next turn. Only the template's own words become special tokens.
  // REQUIRES: has_template().
  Result<std::vector<int32_t>> prompt_ids() const;
  // The same for these messages, today, before it becomes tokens by chat_ids. May be called from
  // several threads at once.
  Result<ChatPrompt> prompt(std::span<const ChatMessage> messages) const;

  // JSON with system message and turns.
  std::string to_json() const;
  // Replaces system message and turns; on an error nothing changes.
  Result<void> from_json(const std::string& text, const std::string& what);

 private:
  std::optional<ChatTemplate> template_;
  ChatOptions options_;
  const Tokenizer* tokenizer_ = nullptr;
  std::string system_;
  std::vector<ChatMessage> turns_;
};

}  // namespace lamina::cli
