// SPDX-License-Identifier: Apache-2.0
// Which pages of a backend's KV cache are in use, and by how many sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/base/result.h"
#include "core/engine/batch.h"

namespace lamina {

// Pages are handed out lowest number first. Not thread-safe.
class KvPool {
 public:
  explicit KvPool(int32_t n_pages);

  // A page with one owner; kResourceExhausted when none is free and none can be reclaimed.
  Result<int32_t> allocate();
  // Asked when no page is free: releases what may be had again and says whether it did.
  void set_reclaim(std::function<bool()> reclaim) { reclaim_ = std::move(reclaim); }
  void retain(int32_t page);
  void release(int32_t page);  // free when the last owner lets go
  bool shared(int32_t page) const { return owners_[static_cast<size_t>(page)] > 1; }

  int32_t n_pages() const { return static_cast<int32_t>(owners_.size()); }
  int32_t n_free() const { return static_cast<int32_t>(free_.size()); }

 private:
  std::vector<int32_t> owners_;  // per page
  std::vector<int32_t> free_;    // a min-heap
  std::function<bool()> reclaim_;
};

// A sequence's block table over a pool: owns one share of each page.
class KvPages {
 public:
  explicit KvPages(KvPool* pool) : pool_(pool) {}
  ~KvPages() { truncate(0); }
  KvPages(KvPages&& other) noexcept : pool_(other.pool_), pages_(std::move(other.pages_)) {
    other.pages_.clear();
  }
  KvPages& operator=(KvPages&& other) noexcept;
  KvPages(const KvPages&) = delete;
  KvPages& operator=(const KvPages&) = delete;

  std::span<const int32_t> pages() const { return pages_; }
  KvPool* pool() const { return pool_; }

  // Makes room for `positions` in all; on failure what was there stays.
  Result<void> reserve(int32_t positions);
  // Keeps the first `n` pages.
  void truncate(size_t n);
  // Lets go of table entry `index`; later entries move down.
  void erase(size_t index);
  // Puts `page`, of which the caller owns a share, in place of entry `index`.
  void replace(size_t index, int32_t page);
  // Adds a share of `page`, which others own, at the end.
  void append_shared(int32_t page);
  // A table that shares the first `n` pages.
  KvPages share(size_t n) const;

 private:
  KvPool* pool_;
  std::vector<int32_t> pages_;
};

}  // namespace lamina
