// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back, as the tokenizer.json of a Hugging Face model folder says. BPE
// models only, in the byte-level form (GPT-2, Llama 3) and in SentencePiece's (Llama 2).
//
// All methods are const, keep no state and may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/model/detokenizer.h"

namespace lamina {

struct EncodeOptions {
  bool add_special = true;     // what the post-processor adds, usually <bos>
  bool parse_special = false;  // the text of special tokens becomes these tokens
};

// A stretch of text by one author.
struct TextSegment {
  std::string_view text;
  bool parse_special = false;
};

struct DecodeOptions {
  bool skip_special = true;
};

struct TokenizerParts;

class Tokenizer {
 public:
  // Encoding a text in which nothing can be cut (one letter, again and again) takes about 24 bytes
  // of memory for each of its bytes; other texts take some 5.
  static constexpr size_t kMaxTextBytes = size_t{64} << 20;
  static constexpr size_t kMaxJsonBytes = size_t{64} << 20;

  // `file_name` is for messages. kInvalidModel: not a sound tokenizer.json. kUnsupported: sound,
  // but with a model, pattern or step that is not known here; the message names it.
  static Result<Tokenizer> from_json(std::string_view json_text, std::string_view file_name);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Invalid UTF-8 in `text` is read as U+FFFD (as repaired_utf8 does), because the reference never
  // sees any. Added tokens that are not special are always recognised. Text that holds already
  // what the post-processor would add wants add_special off. kResourceExhausted: over
  // kMaxTextBytes, the only error.
  Result<std::vector<int32_t>> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const;

  // The segments as the one text that they make together, only that a special token is recognised
  // where all of its letters stand in segments with parse_special. So nobody else's words become
  // one, and ordinary tokens span segments as in training. Invalid UTF-8 is repaired segment by
  // segment. Errors as above.
  Result<std::vector<int32_t>> encode(std::span<const TextSegment> segments,
                                      bool add_special = true) const;

  // Valid UTF-8 always. Ids that mean nothing are left out.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  // The same text in parts, as tokens come. Copyable; the tokenizer outlives it and stays put.
  class StreamDecoder {
   public:
    explicit StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {})
        : tokenizer_(&tokenizer), options_(options) {}
    std::string push(int32_t id);  // the text that is certain by now, whole characters
    std::string finish();          // what was held back; call once, at the end

   private:
    const Tokenizer* tokenizer_;
    DecodeOptions options_;
    DecodeStream stream_;
  };

  // The bytes that a token adds to a text, not at its beginning. Maybe a part of a character.
  std::string_view token_bytes(int32_t id) const;
  // The token as the vocabulary writes it; empty for an id that means nothing.
  std::string_view token_text(int32_t id) const;
  std::optional<int32_t> token_id(std::string_view text) const;
  bool is_special(int32_t id) const;
  int32_t vocab_size() const;  // 1 + the highest id, added tokens included

 private:
  explicit Tokenizer(std::unique_ptr<const TokenizerParts> parts);
  std::vector<int32_t> encode_valid(std::string_view text, std::string_view marks,
                                    const EncodeOptions& options) const;
  void push_to(DecodeStream& stream, int32_t id, const DecodeOptions& options,
               std::string& text) const;

  std::unique_ptr<const TokenizerParts> parts_;
};

}  // namespace lamina
