// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding: a piece of text becomes its characters (or bytes), and of all neighbours that
// have a merge the ones with the lowest rank are joined, leftmost first, until none is left.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/model/token_table.h"

namespace lamina {

// How GPT-2 writes bytes as printable characters in its vocabulary.
uint32_t byte_level_char(uint8_t byte);
// The bytes that `text` stands for. False, and `bytes` unspecified: a character is no such letter.
bool from_byte_level(std::string_view text, std::string& bytes);

// The value of "<0x4F>", the name of a byte among tokens; -1 for any other text.
int byte_of_name(std::string_view token);

struct BpeOptions {
  bool byte_level = false;     // symbols are bytes, named as byte_level_char does
  bool byte_fallback = false;  // unknown characters become <0xNN> tokens when all are there
  bool fuse_unk = false;       // neighbouring unknown characters become one token
  bool ignore_merges = false;  // a piece that is a token needs no merges
  int32_t unk_id = -1;         // -1: unknown characters vanish
};

class Bpe {
 public:
  static constexpr int32_t kMaxIds = 1 << 22;
  static constexpr size_t kMaxMerges = size_t{1} << 22;

  // Working memory of one encode, for one thread. Remembers pieces that were seen. REQUIRES:
  // `out` only grows, and all pieces stay in memory, while the Scratch is used.
  class Scratch {
   public:
    Scratch(size_t text_bytes, std::vector<int32_t>& out);

   private:
    friend class Bpe;
    struct Seen {
      uint64_t hash = 0;
      const char* text = nullptr;
      uint32_t bytes = 0;
      uint32_t n_ids = 0;
      size_t first_id = 0;  // in out_
    };
    struct Link {
      int32_t id;  // -1: merged into a symbol to the left
      uint32_t previous, next;
    };
    std::vector<int32_t>& out_;
    std::vector<Seen> seen_;
    std::vector<int32_t> symbols_;
    std::vector<Link> links_;
    std::vector<uint64_t> heap_;
  };

  Bpe() = default;

  // The model's vocabulary without added tokens; `items` as TokenTable wants them.
  static Result<Bpe> create(const std::vector<TokenTable::Item>& items, const BpeOptions& options,
                            const std::string& file_name);

  void reserve_merges(size_t n) { merges_ = PairTable(n); }  // before the first

  // Appends the merge of two tokens; ranks follow the order of calls. A pair that has a merge
  // gets the new rank. False: there are too many, or a table chosen to collide.
  // REQUIRES: ids of the vocabulary, `merged` is the id of the texts joined.
  [[nodiscard]] bool add_merge(int32_t left, int32_t right, int32_t merged);
  void prefetch_merge(int32_t left, int32_t right) const {
    merges_.prefetch(pair_key(left, right));
  }

  const TokenTable& vocabulary() const { return vocabulary_; }
  // Every character has symbols: none is ever unknown or lost.
  bool covers_all() const { return covers_all_; }

  // Appends the ids of one piece. REQUIRES: valid UTF-8, fewer than 2^32 - 1 bytes.
  void encode(std::string_view piece, Scratch& scratch) const;

 private:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  static constexpr uint32_t kNoRank = ~uint32_t{0};

  Merge merge_of(int32_t left, int32_t right) const {
    const uint64_t* found = merges_.find(pair_key(left, right));
    if (!found) return {kNoRank, -1};
    return {static_cast<uint32_t>(*found >> 32), static_cast<int32_t>(*found)};
  }
  static uint64_t pair_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }

  [[nodiscard]] bool index_symbols();
  uint8_t joint_class(std::string_view text, size_t i, size_t& bytes) const;
  bool may_join(uint8_t left, uint8_t right) const {
    return (joints_[left][right / 64] >> (right % 64)) & 1;
  }
  size_t segment_end(std::string_view piece, size_t begin) const;

  void encode_segment(std::string_view segment, bool whole, Scratch& scratch) const;
  void merge_segment(std::string_view segment, Scratch& scratch) const;
  void make_symbols(std::string_view segment, std::vector<int32_t>& symbols) const;
  void make_symbols_slow(std::string_view segment, std::vector<int32_t>& symbols) const;
  bool add_fallback(std::string_view character, std::vector<int32_t>& symbols) const;
  int32_t symbol_of(std::string_view character) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;
  void push_merge(uint32_t left, Scratch& scratch) const;

  BpeOptions options_;
  TokenTable vocabulary_;
  TokenTable by_bytes_;  // byte_level and ignore_merges: tokens by the bytes they stand for
  PairTable merges_;     // left id << 32 | right id -> rank << 32 | merged id
  uint32_t n_merges_ = 0;

  std::array<int32_t, 256> single_{};    // byte_level: by byte; else by ASCII character; -1: none
  PairTable symbols_;                    // other characters' ids
  std::array<int32_t, 256> fallback_{};  // ids of <0x00> to <0xFF>
  bool covers_all_ = false;

  // A piece may be cut between two characters that no merge joins. Exact for bytes, ASCII and
  // U+2581; other characters share classes.
  bool cuttable_ = false;
  std::array<std::array<uint64_t, 4>, 256> joints_{};
};

}  // namespace lamina
