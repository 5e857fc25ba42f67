// SPDX-License-Identifier: Apache-2.0
// A copy on the host of the beginning of a session's KV, so that a conversation outlives the device
// that computes it. Page by page in the canonical f16 form: nothing is copied twice but the last,
// unfinished page.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/engine/backend.h"
#include "core/engine/session.h"

namespace lamina {

class KvSnapshot {
 public:
  // Copies what the session's cache has and this has not, once that is `every` positions or more.
  // Stops growing, without an error, at `max_bytes` and where memory can't be had. Call it after
  // each step of the session: pages that slide away are noticed one at a time.
  Result<void> update(const Session& session, Backend& backend, int32_t every, uint64_t max_bytes);

  // Drops what is not the session's cache any more: it went back, or slid.
  void follow(const Session& session);

  // What Engine::receive asks for. The first page of a session that slid comes out turned to where
  // the session has it. REQUIRES: follow() since the session last changed.
  void read(Session& session, size_t page, std::span<uint16_t> kv) const;

  int32_t n_positions() const { return static_cast<int32_t>(tokens_.size()); }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Page {
    std::unique_ptr<uint16_t[]> kv;
    size_t size = 0;  // values
  };

  void keep(size_t n_pages);
  void erase(size_t page);

  std::vector<Page> pages_;
  std::vector<int32_t> tokens_;  // what each position was computed from
  int32_t n_evicted_ = 0;        // the session's, when this was last brought up to it
  uint64_t bytes_ = 0;
};

}  // namespace lamina
