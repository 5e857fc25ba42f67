// SPDX-License-Identifier: Apache-2.0
// Template source to tokens, with the white space rules of Jinja's trim_blocks and lstrip_blocks,
// which chat templates are written for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace lamina::jinja {

enum class TokenKind : uint8_t {
  kData,           // text outside tags, white space already trimmed
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,    // text: unescaped
  kInteger,   // integer
  kFloat,     // number
  kOperator,  // text: the operator
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  uint32_t line = 0;
  std::string text;
  int64_t integer = 0;
  double number = 0;

  bool is_operator(std::string_view op) const { return kind == TokenKind::kOperator && text == op; }
  bool is_name(std::string_view name) const { return kind == TokenKind::kName && text == name; }
};

// The last token is kEnd. Errors (kInvalidModel) are "line N: WHAT".
Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace lamina::jinja
