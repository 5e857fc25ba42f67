// SPDX-License-Identifier: Apache-2.0
// Cuts text into the pieces (words) inside which BPE may merge. The regular expressions of known
// tokenizers are recognised by their source text and run as hand-written matchers.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

enum class SplitPattern : uint8_t {
  kGpt2,    // also inside ByteLevel with use_regex
  kLlama3,  // cl100k: up to three digits a piece
  kQwen2,   // the same with single digits
};

// Null: not one of ours.
std::optional<SplitPattern> split_pattern_of(std::string_view regex);

// End of the piece that begins at `begin`. Every byte of a text belongs to a piece.
// REQUIRES: valid UTF-8, begin < text.size() on a code point's border.
size_t split_end(SplitPattern pattern, std::string_view text, size_t begin);

enum class PrependScheme : uint8_t { kNever, kFirst, kAlways };

// A chain of steps, each applied to the pieces of the one before. Without steps the text is one
// piece. Immutable once built.
class PreTokenizer {
 public:
  using Emit = std::function<void(std::string_view piece)>;

  void add_split(SplitPattern pattern);
  void add_digits(bool individual);
  // To be the last step. Its mapping of bytes to printable characters is left to the model.
  void add_byte_level(bool add_prefix_space, bool use_regex);
  void add_metaspace(std::string replacement, PrependScheme scheme, bool split);

  size_t n_steps() const { return steps_.size(); }
  bool byte_level() const { return byte_level_; }

  // Emits the pieces in order. They point into `text` or into strings appended to `kept`.
  // `at_start`: the text begins where the user's text begins. REQUIRES: valid UTF-8.
  void run(std::string_view text, bool at_start, std::deque<std::string>& kept,
           const Emit& emit) const;

 private:
  enum class Kind : uint8_t { kSplit, kDigits, kPrefixSpace, kMetaspace };
  struct Step {
    Kind kind;
    SplitPattern pattern = SplitPattern::kGpt2;
    bool individual = false;  // kDigits
    bool split = false;       // kMetaspace
    PrependScheme scheme = PrependScheme::kNever;
    std::string replacement;
  };
  struct Context {
    std::deque<std::string>& kept;
    const Emit& emit;
  };

  void run_step(size_t step, std::string_view piece, bool at_start, const Context& context) const;
  void run_digits(size_t step, std::string_view piece, bool at_start, const Context& context) const;
  void run_metaspace(size_t step, std::string_view piece, bool at_start,
                     const Context& context) const;

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace lamina
