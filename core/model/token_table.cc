// SPDX-License-Identifier: Apache-2.0
#include "core/model/token_table.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/check.h"

namespace lamina {

namespace {

// At two thirds load honest keys stay far below this.
constexpr size_t kMostProbes = 512;

size_t slots_for(size_t expected) {
  return std::bit_ceil(std::max<size_t>(16, expected + expected / 2 + 1));
}

}  // namespace

PairTable::PairTable(size_t expected)
    : entries_(slots_for(expected), Entry{kNoKey, 0}), mask_(entries_.size() - 1) {}

bool PairTable::insert(uint64_t key, uint64_t value) {
  if (count_ + count_ / 2 + 1 >= entries_.size() && !grow()) return false;
  size_t i = slot_of(key);
  for (size_t probe = 0; probe < kMostProbes; ++probe, i = (i + 1) & mask_) {
    if (entries_[i].key != key && entries_[i].key != kNoKey) continue;
    count_ += entries_[i].key == kNoKey;
    entries_[i] = {key, value};
    return true;
  }
  return false;
}

bool PairTable::grow() {
  PairTable larger(entries_.size());
  for (const Entry& entry : entries_) {
    if (entry.key != kNoKey && !larger.insert(entry.key, entry.value)) return false;
  }
  *this = std::move(larger);
  return true;
}

void TokenTable::append(const std::vector<Item>& items) {
  size_t bytes = 0;
  for (const Item& item : items) bytes += item.text.size();
  blob_.reserve(bytes);
  offsets_.reserve(items.empty() ? 0 : static_cast<size_t>(items.back().id) + 2);
  for (const Item& item : items) {
    offsets_.resize(static_cast<size_t>(item.id) + 1, static_cast<uint32_t>(blob_.size()));
    blob_ += item.text;
    longest_ = std::max(longest_, item.text.size());
  }
  offsets_.push_back(static_cast<uint32_t>(blob_.size()));
}

bool TokenTable::build(const std::vector<Item>& items) {
  *this = TokenTable();
  append(items);
  slots_.assign(slots_for(items.size()), Slot{0, -1});
  const size_t mask = slots_.size() - 1;
  for (const Item& item : items) {
    const uint64_t hash = hash_text(item.text);
    const auto tag = static_cast<uint32_t>(hash >> 32);
    size_t i = static_cast<size_t>(hash) & mask;
    for (size_t probe = 0; slots_[i].id >= 0; i = (i + 1) & mask) {
      if (slots_[i].tag == tag && text(slots_[i].id) == item.text) break;
      if (++probe == kMostProbes) return false;
    }
    if (slots_[i].id < 0) slots_[i] = {tag, item.id};
  }
  return true;
}

int32_t TokenTable::find(std::string_view wanted) const {
  return slots_.empty() ? -1 : find_hashed(wanted, hash_text(wanted));
}

int32_t TokenTable::find_hashed(std::string_view wanted, uint64_t hash) const {
  const auto tag = static_cast<uint32_t>(hash >> 32);
  const size_t mask = slots_.size() - 1;
  for (size_t i = static_cast<size_t>(hash) & mask; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && text(slots_[i].id) == wanted) return slots_[i].id;
  }
  return -1;
}

// Each round asks for the memory that the next one reads.
void TokenTable::find(std::span<const std::string_view> texts, std::span<int32_t> ids) const {
  LAMINA_CHECK(texts.size() == ids.size() && texts.size() <= kMostAtOnce && !slots_.empty());
  const size_t mask = slots_.size() - 1;
  std::array<uint64_t, kMostAtOnce> hashes;
  for (size_t k = 0; k < texts.size(); ++k) {
    hashes[k] = hash_text(texts[k]);
    __builtin_prefetch(&slots_[static_cast<size_t>(hashes[k]) & mask]);
  }
  for (size_t k = 0; k < texts.size(); ++k) {
    const int32_t likely = slots_[static_cast<size_t>(hashes[k]) & mask].id;
    if (likely >= 0) __builtin_prefetch(&offsets_[static_cast<size_t>(likely)]);
  }
  for (size_t k = 0; k < texts.size(); ++k) {
    const int32_t likely = slots_[static_cast<size_t>(hashes[k]) & mask].id;
    if (likely >= 0) __builtin_prefetch(&blob_[offsets_[static_cast<size_t>(likely)]]);
  }
  for (size_t k = 0; k < texts.size(); ++k) ids[k] = find_hashed(texts[k], hashes[k]);
}

}  // namespace lamina
