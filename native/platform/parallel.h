// SPDX-License-Identifier: Apache-2.0
// Short-lived threads for loading and converting. Engines have their own pool.
#pragma once

#include <cstddef>
#include <functional>

#include "core/base/result.h"

namespace lamina {

// Processors this process may run on, at least 1.
int usable_processors();

// Runs work(0) .. work(n - 1), each once, on up to `threads` threads (0: as many as processors),
// the caller's included. After a failure no further item starts; of several failures the one with
// the lowest index is returned.
Result<void> parallel_for(int threads, size_t n, const std::function<Result<void>(size_t)>& work);

}  // namespace lamina
