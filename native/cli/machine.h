// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best: the yardsticks of `lamina bench`.
#pragma once

#include "core/base/result.h"

namespace lamina::cli {

// Bytes per second that `threads` threads read from memory, in huge pages where there are any: the
// best of a few passes over more than any cache holds. Takes about a second, and resets the
// process' peak of resident memory afterwards, so that it tells of the model alone.
Result<double> measure_read_bandwidth(int threads);

// Multiply-accumulates of int8 per second by the best instruction there is, on `threads` threads,
// out of registers. 0 where this program knows none for the processor.
double measure_int8_peak(int threads);

}  // namespace lamina::cli
