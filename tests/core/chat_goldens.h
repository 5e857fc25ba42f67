// SPDX-License-Identifier: Apache-2.0
// The renderings of Jinja2 itself that tests/core/chat_templates/render_goldens.py has written.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/model/chat_template.h"

namespace lamina {

inline std::string read_chat_file(const std::string& name) {
  std::ifstream file(std::string(LAMINA_SOURCE_DIR) + "/tests/core/chat_templates/" + name,
                     std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct ChatGolden {
  std::string source;        // of a snippet
  std::string file;          // of a template
  std::string conversation;  // of a template
  bool prompt = true;
  enum { kPrints, kRaises, kFails } kind = kPrints;
  std::string text;  // printed, or the message raised
};

struct ChatGoldens {
  std::map<std::string, std::vector<ChatMessage>> conversations;
  std::vector<ChatGolden> templates;
  std::vector<ChatGolden> snippets;
};

inline ChatGolden read_chat_golden(const JsonValue& json) {
  ChatGolden golden;
  golden.source = json.get_string_or("source", "").value();
  golden.file = json.get_string_or("template", "").value();
  golden.conversation = json.get_string_or("conversation", "").value();
  golden.prompt = json.get_bool_or("prompt", true).value();
  if (json.find("output").is_string()) {
    golden.text = json.get_string("output").value();
  } else if (json.find("raised").is_string()) {
    golden.kind = ChatGolden::kRaises;
    golden.text = json.get_string("raised").value();
  } else {
    golden.kind = ChatGolden::kFails;
  }
  return golden;
}

inline ChatGoldens read_chat_goldens() {
  ChatGoldens goldens;
  auto document = JsonDocument::parse(read_chat_file("goldens.json"), "goldens.json").value();
  const JsonValue root = document->root();
  for (JsonValue c = root.find("conversations").first_child(); !c.is_missing();
       c = c.next_sibling()) {
    auto& messages = goldens.conversations[c.get_string("name").value()];
    for (JsonValue m = c.find("messages").first_child(); !m.is_missing(); m = m.next_sibling()) {
      messages.push_back({m.get_string("role").value(), m.get_string("content").value()});
    }
  }
  for (JsonValue t = root.find("templates").first_child(); !t.is_missing(); t = t.next_sibling()) {
    goldens.templates.push_back(read_chat_golden(t));
  }
  for (JsonValue s = root.find("snippets").first_child(); !s.is_missing(); s = s.next_sibling()) {
    goldens.snippets.push_back(read_chat_golden(s));
  }
  return goldens;
}

inline ChatOptions golden_options(bool prompt) {
  ChatOptions options;
  options.add_generation_prompt = prompt;
  options.bos_token = "<s>";
  options.eos_token = "</s>";
  options.date = ChatDate{2024, 7, 6, 14, 5, 9};
  return options;
}

inline Result<ChatPrompt> render_chat(std::string_view source,
                                      const std::vector<ChatMessage>& messages,
                                      const ChatOptions& options) {
  LAMINA_ASSIGN(const ChatTemplate chat, ChatTemplate::parse(source, "test.jinja"));
  return chat.render(messages, options);
}

inline void expect_golden(const ChatGolden& golden, const Result<ChatPrompt>& result) {
  if (golden.kind == ChatGolden::kPrints) {
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_EQ(result->text(), golden.text);
    return;
  }
  ASSERT_FALSE(result.has_value()) << "printed: " << result->text();
  if (golden.kind == ChatGolden::kFails) return;
  EXPECT_EQ(result.error().code, Code::kInvalidArgument) << result.error().message;
  EXPECT_NE(result.error().message.find(golden.text), std::string::npos) << result.error().message;
}

}  // namespace lamina
