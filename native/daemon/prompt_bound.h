// SPDX-License-Identifier: Apache-2.0
// Refuses texts that can't fit a context without making tokens of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/result.h"
#include "core/model/tokenizer.h"

namespace lamina::daemon {

// No token stands for more bytes than the longest of the vocabulary, so a text of more than
// `context` times that has too many tokens. White space does not count on either side: templates
// and added tokens swallow it. Where the vocabulary lacks a byte there is no bound: many unknown
// characters may be one token.
class PromptBound {
 public:
  PromptBound(const Tokenizer& tokenizer, int32_t context);

  // kContextExceeded where these texts, one after the other, are surely too long. Others may be
  // too long as well.
  Result<void> check(std::span<const std::string_view> texts) const;

  size_t most_bytes() const { return most_bytes_; }  // SIZE_MAX: no bound

 private:
  int32_t context_;
  size_t most_bytes_ = SIZE_MAX;
};

}  // namespace lamina::daemon
