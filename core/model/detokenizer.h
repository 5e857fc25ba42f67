// SPDX-License-Identifier: Apache-2.0
// From tokens back to text: the decoder part of tokenizer.json, prepared so that it works on a
// stream. Each token has a piece of bytes; what depends on neighbours is in DecodeStream.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

struct DecodeRules {
  enum class Pieces : uint8_t {
    kText,       // a piece is text
    kByteLevel,  // a piece is bytes in GPT-2's alphabet
  };
  // Applied to each token's text, in order: Replace, or Metaspace when `metaspace`.
  struct Rewrite {
    std::string from, to;
    bool metaspace = false;  // in the first token `from` becomes first_to
    std::string first_to;
  };
  struct Strip {
    std::string character;
    uint32_t most = 0;  // from the beginning of the whole text
  };

  Pieces pieces = Pieces::kText;
  std::vector<Rewrite> rewrites;
  bool byte_fallback = false;  // <0xNN> is a byte
  std::vector<Strip> strips;
  std::string separator;  // between tokens; a tokenizer without a decoder joins with spaces

  bool has_first_form() const;
  // The bytes of a token; of a byte token, its byte.
  std::string piece_of(std::string_view token, bool first) const;
  bool is_byte(std::string_view token, bool first) const;
};

// Assembles pieces into valid UTF-8. Copyable.
class DecodeStream {
 public:
  // `is_byte`: the piece is the byte of a <0xNN> token. Returns text that is certain by now: of
  // bytes only whole characters, and a run of <0xNN> tokens only when it has ended, because one
  // wrong byte makes every byte of the run U+FFFD.
  std::string push(const DecodeRules& rules, std::string_view piece, bool is_byte);
  std::string finish(const DecodeRules& rules);  // the rest; call once

  bool at_first() const { return at_first_; }  // no piece yet

 private:
  std::string end_run();
  std::string strip(const DecodeRules& rules, std::string text);

  bool at_first_ = true;
  std::string run_;        // bytes of <0xNN> tokens, or of a character that is not whole yet
  size_t strip_ = 0;       // the strip at work
  uint32_t stripped_ = 0;  // characters that it has taken
};

}  // namespace lamina
