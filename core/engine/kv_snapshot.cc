// SPDX-License-Identifier: Apache-2.0
#include "core/engine/kv_snapshot.h"

#include <algorithm>
#include <new>

namespace lamina {
namespace {

// The token whose keys and values lie at `kv_index`.
int32_t token_at(const Session& session, int32_t kv_index) {
  const int32_t position = kv_index < kPageSize ? kv_index : kv_index + session.n_evicted();
  return session.tokens()[static_cast<size_t>(position)];
}

}  // namespace

void KvSnapshot::follow(const Session& session) {
  if (session.n_evicted() < n_evicted_) keep(0);  // it dropped everything and began anew
  while (!pages_.empty() && n_evicted_ < session.n_evicted()) {
    if (pages_.size() > 1) erase(1);
    n_evicted_ += kPageSize;
  }
  n_evicted_ = session.n_evicted();
  const int32_t n = std::min(n_positions(), session.n_cached());
  int32_t same = 0;
  while (same < n && tokens_[static_cast<size_t>(same)] == token_at(session, same)) ++same;
  if (same < n_positions()) keep(static_cast<size_t>(same / kPageSize));
}

void KvSnapshot::keep(size_t n_pages) {
  while (pages_.size() > n_pages) erase(pages_.size() - 1);
}

void KvSnapshot::erase(size_t page) {
  bytes_ -= pages_[page].size * sizeof(uint16_t);
  pages_.erase(pages_.begin() + static_cast<std::ptrdiff_t>(page));
  const size_t begin = page * kPageSize;
  const size_t end = std::min(begin + kPageSize, tokens_.size());
  tokens_.erase(tokens_.begin() + static_cast<std::ptrdiff_t>(begin),
                tokens_.begin() + static_cast<std::ptrdiff_t>(end));
}

Result<void> KvSnapshot::update(const Session& session, Backend& backend, int32_t every,
                                uint64_t max_bytes) {
  follow(session);
  const int32_t n_cached = session.n_cached();
  if (n_cached - n_positions() < every) return {};
  for (auto page = static_cast<size_t>(n_positions() / kPageSize);
       static_cast<int32_t>(page) * kPageSize < n_cached; ++page) {
    const int32_t n = page_positions(n_cached, page);
    const size_t size = kv_export_size(session.config(), n);
    const uint64_t before = page < pages_.size() ? pages_[page].size * sizeof(uint16_t) : 0;
    if (bytes_ - before + size * sizeof(uint16_t) > max_bytes) return {};
    Page fresh{std::unique_ptr<uint16_t[]>(new (std::nothrow) uint16_t[size]), size};
    if (!fresh.kv) return {};
    LAMINA_TRY(backend.export_kv(session.pages().subspan(page, 1), n, {fresh.kv.get(), size}));
    keep(page);
    pages_.push_back(std::move(fresh));
    bytes_ += size * sizeof(uint16_t);
    for (int32_t i = 0; i < n; ++i) {
      tokens_.push_back(token_at(session, static_cast<int32_t>(page) * kPageSize + i));
    }
  }
  return {};
}

void KvSnapshot::read(Session& session, size_t page, std::span<uint16_t> kv) const {
  LAMINA_CHECK(page < pages_.size() && kv.size() == pages_[page].size);
  std::copy_n(pages_[page].kv.get(), kv.size(), kv.begin());
  if (page == 0 && session.n_evicted() > 0) session.turn_sinks(kv);
}

}  // namespace lamina
