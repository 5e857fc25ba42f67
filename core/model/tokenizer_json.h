// SPDX-License-Identifier: Apache-2.0
// Reads tokenizer.json. The text is hostile: whatever it says, the outcome is a tokenizer or an
// Error that names the file, the field and its value.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"
#include "core/model/added_tokens.h"
#include "core/model/bpe.h"
#include "core/model/detokenizer.h"
#include "core/model/normalizer.h"
#include "core/model/pretokenizer.h"

namespace lamina {

struct TokenizerParts {
  Normalizer normalizer;
  AddedTokenMatcher raw_added;         // looked for in the text as it came
  AddedTokenMatcher normalized_added;  // looked for between those, in the normalized text
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  std::vector<int32_t> prefix, suffix;  // what the post-processor puts around one text
  DecodeRules decode;

  TokenTable extra;  // added tokens that are not in the model's vocabulary
  int32_t id_limit = 0;
  std::vector<uint8_t> flags;  // by id
  static constexpr uint8_t kKnown = 1, kSpecial = 2, kByte = 4;

  // What each token adds to a text, by id.
  std::string pieces;
  std::vector<uint32_t> piece_offsets;

  std::string_view text(int32_t id) const;
  bool has(int32_t id, uint8_t flag) const {
    return id >= 0 && id < id_limit && (flags[static_cast<size_t>(id)] & flag) != 0;
  }
};

Result<std::unique_ptr<TokenizerParts>> parse_tokenizer_json(std::string_view text,
                                                             std::string_view file_name,
                                                             size_t max_bytes);

// The members of the same names; absent and null mean: no such step.
Result<void> parse_normalizer(JsonValue value, Normalizer& normalizer);
Result<void> parse_pre_tokenizer(JsonValue value, PreTokenizer& pre_tokenizer);
Result<void> parse_post_processor(JsonValue value, TokenizerParts& parts);
Result<void> parse_decoder(JsonValue value, DecodeRules& rules);

}  // namespace lamina
