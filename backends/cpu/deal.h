// SPDX-License-Identifier: Apache-2.0
// Deals the items of an op to workers: first each its own share, in order, so that it reads memory
// straight through; then what is left of the others' shares. A worker that the system has put aside
// so holds up one item and not a share. Who computes an item does not change its result.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

#include "backends/cpu/step_limits.h"

namespace lamina::cpu {

class Deal {
 public:
  struct alignas(64) Cursor {  // one per worker, on a cache line of its own
    std::atomic<int32_t> taken{0};
  };

  Deal(Cursor* cursors, int32_t n, int worker, int workers)
      : cursors_(cursors), n_(n), workers_(workers), from_(worker) {}

  // The next item, or -1 when none is left for anybody.
  int32_t next() {
    for (; visited_ < workers_; ++visited_, from_ = from_ + 1 == workers_ ? 0 : from_ + 1) {
      const Share share = share_of(n_, from_, workers_);
      // Looked at before it is added to: a share that is used up is not written to.
      std::atomic<int32_t>& taken = cursors_[from_].taken;
      if (taken.load(std::memory_order_relaxed) >= share.end - share.begin) continue;
      const int32_t item = share.begin + taken.fetch_add(1, std::memory_order_relaxed);
      if (item < share.end) return item;
    }
    return -1;
  }

 private:
  Cursor* cursors_;
  int32_t n_;
  int workers_;
  int from_;
  int visited_ = 0;
};

// Cursors for the op at hand and for the next: those of the op before are set back meanwhile.
class DealCursors {
 public:
  bool allocate(int workers) {
    workers_ = workers;
    cursors_.reset(new (std::nothrow) Deal::Cursor[2 * static_cast<size_t>(workers)]);
    return cursors_ != nullptr;
  }
  // Before the first op, while no worker runs.
  void reset() {
    for (int i = 0; i < 2 * workers_; ++i) cursors_[i].taken.store(0, std::memory_order_relaxed);
  }
  // By each worker as it begins op number `op`; all have finished the op before.
  Deal::Cursor* begin(int32_t op, int worker) {
    Deal::Cursor* others = cursors_.get() + (op + 1) % 2 * workers_;
    others[worker].taken.store(0, std::memory_order_relaxed);
    return cursors_.get() + op % 2 * workers_;
  }

 private:
  int workers_ = 0;
  std::unique_ptr<Deal::Cursor[]> cursors_;
};

}  // namespace lamina::cpu
