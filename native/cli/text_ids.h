// SPDX-License-Identifier: Apache-2.0
// Text and chat prompts to token ids, with the beginning-of-text token once.
#pragma once

#include <string_view>
#include <vector>

#include "core/model/chat_template.h"
#include "core/model/tokenizer.h"

namespace lamina::cli {

// What the post-processor adds is added; where the text carries its own beginning token
// (`parse_special`), that one counts.
Result<std::vector<int32_t>> text_ids(const Tokenizer& tokenizer, std::string_view text,
                                      bool parse_special);

// A rendered template brings its special tokens itself. Only trusted text becomes special tokens.
Result<std::vector<int32_t>> chat_ids(const Tokenizer& tokenizer, const ChatPrompt& prompt);

}  // namespace lamina::cli
