// SPDX-License-Identifier: Apache-2.0
// A model's chat template: from a conversation to the prompt the model was trained on.
//
// Templates are Jinja, as Hugging Face transformers renders them: trim_blocks and lstrip_blocks on,
// break and continue, raise_exception, strftime_now, no mutation. What is not supported is refused
// by name: inheritance, includes, call blocks, recursive loops, rare filters. Two differences are
// meant: letter case changes in ASCII only, and generators (from map, select and their like) are
// lists.
//
// A template is a program from a stranger. It runs within fixed budgets of steps, bytes and depth
// (jinja_heap.h); what exceeds them is kResourceExhausted. Both calls recurse, within 256 KiB of stack.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace lamina {

namespace jinja {
struct Program;
}

struct ChatMessage {
  std::string role;
  std::string content;
};

// A point in local time, as the caller's clock has it.
struct ChatDate {
  int year = 1970;
  int month = 1;  // 1 to 12
  int day = 1;    // 1 to 31
  int hour = 0;
  int minute = 0;
  int second = 0;
};

struct ChatOptions {
  bool add_generation_prompt = true;
  // The model's special tokens as text; an empty one is undefined in the template.
  std::string bos_token;
  std::string eos_token;
  std::string unk_token;
  std::string pad_token;
  // For strftime_now(); without it the function is undefined, and templates that ask whether it is
  // defined (as Llama 3.2's does) fall back to their own fixed date.
  std::optional<ChatDate> date;
};

// A piece of the prompt by one author. Control tokens ("<|eot_id|>", "</s>") are to be recognised
// in trusted text only: it comes from the template or from the options' special tokens. Untrusted
// text comes from the messages, where the same letters are ordinary text. Ordinary tokens may span
// segments: Tokenizer::encode takes them as they are.
struct ChatSegment {
  std::string text;
  bool trusted;
  bool operator==(const ChatSegment&) const = default;
};

struct ChatPrompt {
  // None is empty; neighbours differ in trust. Valid UTF-8 all together and one by one.
  std::vector<ChatSegment> segments;
  std::string text() const;  // the concatenation: what Jinja prints
};

class ChatTemplate {
 public:
  // `file_name` names the template in errors.
  static Result<ChatTemplate> parse(std::string_view source, std::string_view file_name);

  // The template sees `messages` (each with role and content), `add_generation_prompt`, the special
  // tokens, and `tools` and `documents`, which are none. Invalid UTF-8 in a message is repaired.
  // A role that is one of the well-known names ("user", "assistant", "system", "tool", ...) counts
  // as the template's own word, because templates print "<|" + role + "|>"; any other is untrusted.
  // kInvalidArgument with the template's message if it calls raise_exception.
  Result<ChatPrompt> render(std::span<const ChatMessage> messages,
                            const ChatOptions& options) const;

 private:
  ChatTemplate() = default;
  std::string file_name_;
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace lamina
