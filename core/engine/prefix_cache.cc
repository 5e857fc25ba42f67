// SPDX-License-Identifier: Apache-2.0
#include "core/engine/prefix_cache.h"

#include <algorithm>
#include <functional>

namespace lamina {
namespace {

// One round of the finaliser of MurmurHash3 per token.
uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 32);
}

}  // namespace

int32_t PrefixCache::lookup(int32_t parent, std::span<const int32_t> tokens, uint64_t* hash) const {
  *hash = parent < 0 ? 0x9e3779b97f4a7c15ULL : entries_[static_cast<size_t>(parent)].hash;
  for (int32_t token : tokens) *hash = mix(*hash, static_cast<uint32_t>(token));
  *hash &= hash_mask_;
  const auto at = by_hash_.find(*hash);
  if (at == by_hash_.end()) return -1;
  const Entry& entry = entries_[static_cast<size_t>(at->second)];
  const bool same = entry.parent == parent && std::ranges::equal(entry.tokens, tokens);
  return same ? at->second : -1;
}

int32_t PrefixCache::add(int32_t parent, std::span<const int32_t> tokens, uint64_t hash,
                         int32_t page) {
  if (free_.empty()) {
    free_.push_back(static_cast<int32_t>(entries_.size()));
    entries_.emplace_back();
  }
  const int32_t index = free_.back();
  free_.pop_back();
  Entry& entry = entries_[static_cast<size_t>(index)];
  entry.hash = hash;
  entry.parent = parent;
  entry.page = page;
  std::ranges::copy(tokens, entry.tokens.begin());
  by_hash_[hash] = index;
  pool_->retain(page);
  return index;
}

// From the last page to the first, so that what is evicted first is never before something else.
void PrefixCache::touch(int32_t last) {
  for (int32_t at = last; at >= 0; at = entries_[static_cast<size_t>(at)].parent) {
    entries_[static_cast<size_t>(at)].used = ++clock_;
  }
}

void PrefixCache::insert(std::span<const int32_t> tokens, std::span<const int32_t> pages) {
  const size_t whole = std::min(tokens.size() / kPageSize, pages.size());
  int32_t last = -1;
  for (size_t i = 0; i < whole; ++i) {
    const auto part = tokens.subspan(i * kPageSize, kPageSize);
    uint64_t hash;
    int32_t entry = lookup(last, part, &hash);
    if (entry < 0 && by_hash_.contains(hash)) break;  // another page has taken the place
    if (entry < 0) entry = add(last, part, hash, pages[i]);
    last = entry;
  }
  touch(last);
}

std::span<const int32_t> PrefixCache::find(std::span<const int32_t> tokens) {
  found_.clear();
  int32_t last = -1;
  for (; tokens.size() >= kPageSize; tokens = tokens.subspan(kPageSize)) {
    uint64_t hash;
    const int32_t entry = lookup(last, tokens.first(kPageSize), &hash);
    if (entry < 0) break;
    found_.push_back(entries_[static_cast<size_t>(entry)].page);
    last = entry;
  }
  touch(last);
  return found_;
}

// Each page was used after those behind it, so the one before it is here already.
void PrefixCache::take(const PrefixCache& from, const Copy& copy) {
  std::vector<size_t> order;
  for (size_t i = 0; i < from.entries_.size(); ++i) {
    if (from.entries_[i].page >= 0) order.push_back(i);
  }
  std::ranges::sort(order, std::greater(), [&](size_t i) { return from.entries_[i].used; });
  std::vector<int32_t> here(from.entries_.size(),
                            -1);  // the entry of this, by index of the other's
  for (const size_t i : order) {
    const Entry& theirs = from.entries_[i];
    const int32_t parent = theirs.parent < 0 ? -1 : here[static_cast<size_t>(theirs.parent)];
    if (theirs.parent >= 0 && parent < 0) continue;
    uint64_t hash;
    here[i] = lookup(parent, theirs.tokens, &hash);
    if (here[i] >= 0 || by_hash_.contains(hash)) continue;
    const Result<int32_t> page = copy(theirs.page);
    if (!page) break;
    here[i] = add(parent, theirs.tokens, hash, *page);
    entries_[static_cast<size_t>(here[i])].used = theirs.used;
    pool_->release(*page);
  }
  clock_ = std::max(clock_, from.clock_);
}

int32_t PrefixCache::n_evictable() const {
  return static_cast<int32_t>(std::ranges::count_if(
      entries_, [&](const Entry& e) { return e.page >= 0 && !pool_->shared(e.page); }));
}

bool PrefixCache::evict() {
  int32_t victim = -1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& e = entries_[i];
    if (e.page < 0 || pool_->shared(e.page)) continue;
    if (victim < 0 || e.used < entries_[static_cast<size_t>(victim)].used) {
      victim = static_cast<int32_t>(i);
    }
  }
  if (victim < 0) return false;
  remove(victim);
  return true;
}

void PrefixCache::remove(int32_t index) {
  Entry& entry = entries_[static_cast<size_t>(index)];
  by_hash_.erase(entry.hash);
  pool_->release(entry.page);
  entry.page = -1;
  free_.push_back(index);
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].page >= 0 && entries_[i].parent == index) remove(static_cast<int32_t>(i));
  }
}

void PrefixCache::clear() {
  for (const Entry& entry : entries_) {
    if (entry.page >= 0) pool_->release(entry.page);
  }
  entries_.clear();
  free_.clear();
  by_hash_.clear();
}

}  // namespace lamina
