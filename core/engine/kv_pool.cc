// SPDX-License-Identifier: Apache-2.0
#include "core/engine/kv_pool.h"

#include <algorithm>
#include <functional>

#include "core/base/numeric.h"

namespace lamina {

KvPool::KvPool(int32_t n_pages) : owners_(static_cast<size_t>(n_pages), 0) {
  for (int32_t page = 0; page < n_pages; ++page) free_.push_back(page);
}

Result<int32_t> KvPool::allocate() {
  while (free_.empty() && reclaim_ && reclaim_()) {
  }
  if (free_.empty()) {
    return make_error(Code::kResourceExhausted,
                      "KV cache: all %d pages of %d positions are in use; use a larger context",
                      n_pages(), kPageSize);
  }
  std::pop_heap(free_.begin(), free_.end(), std::greater<>());
  const int32_t page = free_.back();
  free_.pop_back();
  owners_[static_cast<size_t>(page)] = 1;
  return page;
}

void KvPool::retain(int32_t page) {
  LAMINA_CHECK(owners_[static_cast<size_t>(page)] > 0);
  ++owners_[static_cast<size_t>(page)];
}

void KvPool::release(int32_t page) {
  int32_t& owners = owners_[static_cast<size_t>(page)];
  LAMINA_CHECK(owners > 0);
  if (--owners > 0) return;
  free_.push_back(page);
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
}

KvPages& KvPages::operator=(KvPages&& other) noexcept {
  if (this == &other) return *this;
  truncate(0);
  pool_ = other.pool_;
  pages_ = std::move(other.pages_);
  other.pages_.clear();
  return *this;
}

Result<void> KvPages::reserve(int32_t positions) {
  const size_t before = pages_.size();
  const size_t needed = div_up(static_cast<size_t>(positions), kPageSize);
  while (pages_.size() < needed) {
    auto page = pool_->allocate();
    if (!page) {
      truncate(before);
      return std::move(page).error();
    }
    pages_.push_back(*page);
  }
  return {};
}

void KvPages::truncate(size_t n) {
  while (pages_.size() > n) {
    pool_->release(pages_.back());
    pages_.pop_back();
  }
}

void KvPages::erase(size_t index) {
  pool_->release(pages_[index]);
  pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(index));
}

void KvPages::replace(size_t index, int32_t page) {
  pool_->release(pages_[index]);
  pages_[index] = page;
}

void KvPages::append_shared(int32_t page) {
  pool_->retain(page);
  pages_.push_back(page);
}

KvPages KvPages::share(size_t n) const {
  KvPages copy(pool_);
  for (size_t i = 0; i < n; ++i) {
    pool_->retain(pages_[i]);
    copy.pages_.push_back(pages_[i]);
  }
  return copy;
}

}  // namespace lamina
