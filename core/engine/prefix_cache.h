// SPDX-License-Identifier: Apache-2.0
// Whole pages of KV by the tokens that they were computed from, so that a prompt which begins like
// an earlier one begins with its pages. A tree: a page is known by its tokens and the page before it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/engine/kv_pool.h"

namespace lamina {

// Owns a share of each page that it knows. Not thread-safe.
class PrefixCache {
 public:
  // `hash_mask`: fewer bits make collisions, for tests. `pool` outlives the cache.
  explicit PrefixCache(KvPool* pool, uint64_t hash_mask = ~uint64_t{0})
      : pool_(pool), hash_mask_(hash_mask) {}
  ~PrefixCache() { clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // `pages` hold the first tokens' KV; whole pages of it are kept. Of two pages for the same
  // tokens the first stays.
  void insert(std::span<const int32_t> tokens, std::span<const int32_t> pages);

  // The pages of the longest known beginning of `tokens`, valid until the next insert, evict or
  // allocation from the pool. Counts as use.
  std::span<const int32_t> find(std::span<const int32_t> tokens);

  // Adds what `from` knows, most recently used first, until `copy` fails: it gives a page of this
  // cache's pool, with one owner, that holds the same as that page of the other's.
  using Copy = std::function<Result<int32_t>(int32_t page)>;
  void take(const PrefixCache& from, const Copy& copy);

  // Lets go of the least recently used page that nobody else owns. False when there is none.
  bool evict();
  void clear();

  int32_t n_pages() const { return static_cast<int32_t>(by_hash_.size()); }
  int32_t n_evictable() const;  // pages that nobody else owns

 private:
  struct Entry {
    uint64_t hash = 0;
    uint64_t used = 0;     // later is larger, and a page is used after those behind it
    int32_t parent = -1;   // index of the page before
    int32_t page = -1;     // -1: the entry is free
    std::array<int32_t, kPageSize> tokens{};
  };

  // The entry for one page of tokens behind `parent`, whose hash is set in any case; or -1.
  int32_t lookup(int32_t parent, std::span<const int32_t> tokens, uint64_t* hash) const;
  int32_t add(int32_t parent, std::span<const int32_t> tokens, uint64_t hash, int32_t page);
  void touch(int32_t last);
  void remove(int32_t entry);  // and all behind it

  KvPool* pool_;
  uint64_t hash_mask_;
  uint64_t clock_ = 0;
  std::vector<Entry> entries_;
  std::vector<int32_t> free_;
  std::unordered_map<uint64_t, int32_t> by_hash_;
  std::vector<int32_t> found_;
};

}  // namespace lamina
