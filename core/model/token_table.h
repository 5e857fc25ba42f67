// SPDX-License-Identifier: Apache-2.0
// Hash tables of the tokenizer: built once, then read by any number of threads. Open addressing
// with linear probing; a table whose content was chosen to collide is refused, not slow.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

// Of short texts, fast rather than strong.
inline uint64_t hash_text(std::string_view text) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
  uint64_t hash = text.size() * kMultiplier;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  }
  uint64_t tail = 0;
  for (size_t shift = 0; i < text.size(); ++i, shift += 8) {
    tail |= static_cast<uint64_t>(static_cast<uint8_t>(text[i])) << shift;
  }
  hash = (hash ^ tail) * kMultiplier;
  hash ^= hash >> 29;
  return hash * kMultiplier;
}

// uint64 keys to uint64 values.
class PairTable {
 public:
  static constexpr uint64_t kNoKey = ~uint64_t{0};

  explicit PairTable(size_t expected = 0);

  // False: the keys collide so much that lookups would be slow; the table is then unusable. A key
  // that is there already gets the new value. REQUIRES: key != kNoKey.
  [[nodiscard]] bool insert(uint64_t key, uint64_t value);

  // Announces a key that is about to be inserted or looked for.
  void prefetch(uint64_t key) const { __builtin_prefetch(&entries_[slot_of(key)]); }

  // Null when absent.
  const uint64_t* find(uint64_t key) const {
    for (size_t i = slot_of(key);; i = (i + 1) & mask_) {
      const Entry& entry = entries_[i];
      if (entry.key == key) return &entry.value;
      if (entry.key == kNoKey) return nullptr;
    }
  }

 private:
  struct Entry {
    uint64_t key;
    uint64_t value;
  };

  size_t slot_of(uint64_t key) const {
    const uint64_t mixed = (key ^ (key >> 29)) * 0x9E3779B97F4A7C15;
    return static_cast<size_t>(mixed >> 32) & mask_;
  }
  bool grow();

  std::vector<Entry> entries_;
  size_t mask_;
  size_t count_ = 0;
};

// Texts numbered by id, found by text and by id. Ids may have holes.
class TokenTable {
 public:
  struct Item {
    std::string_view text;  // not empty
    int32_t id;             // at least 0, ascending in the list
  };

  TokenTable() = default;
  // `items` are copied. When two have one text the lower id is found.
  // False: the texts collide on purpose, as in PairTable.
  [[nodiscard]] bool build(const std::vector<Item>& items);

  int32_t find(std::string_view text) const;  // -1: absent
  // The same for many at once, several times as fast when the table exceeds the caches.
  // REQUIRES: texts.size() == ids.size() <= kMostAtOnce.
  static constexpr size_t kMostAtOnce = 96;
  void find(std::span<const std::string_view> texts, std::span<int32_t> ids) const;
  std::string_view text(int32_t id) const {  // empty: no such id
    const auto i = static_cast<size_t>(id);
    if (id < 0 || i + 1 >= offsets_.size()) return {};
    return std::string_view(blob_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  int32_t id_limit() const {  // 1 + the highest id
    return offsets_.empty() ? 0 : static_cast<int32_t>(offsets_.size() - 1);
  }
  size_t longest() const { return longest_; }  // bytes

 private:
  struct Slot {
    uint32_t tag;  // upper half of the hash
    int32_t id;    // -1: free
  };

  void append(const std::vector<Item>& items);
  int32_t find_hashed(std::string_view text, uint64_t hash) const;

  std::string blob_;
  std::vector<uint32_t> offsets_;
  std::vector<Slot> slots_;
  size_t longest_ = 0;
};

}  // namespace lamina
