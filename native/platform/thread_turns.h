// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lamina {

// For a thread that has little to do and should do it at once, beside threads that use all CPUs:
// the calling thread asks the system for short turns (0.1 ms), which Linux from 6.12 on gives early
// ("latency nice" by sched_attr's sched_runtime, see sched(7)). Elsewhere nothing happens.
void ask_for_short_turns();

}  // namespace lamina
