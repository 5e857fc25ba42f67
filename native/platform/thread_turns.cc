// SPDX-License-Identifier: Apache-2.0
#include "native/platform/thread_turns.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lamina {

#if defined(__linux__) && defined(SYS_sched_getattr) && defined(SYS_sched_setattr)

namespace {

// The kernel's sched_attr (uapi/linux/sched/types.h), which glibc 2.36 does not declare.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

constexpr uint64_t kTurnNanoseconds = 100'000;  // the least that the kernel takes

}  // namespace

void ask_for_short_turns() {
  SchedAttr attr = {};
  if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0) return;
  if (attr.policy != 0) return;  // somebody has chosen a policy for us
  attr.size = sizeof attr;
  attr.runtime = kTurnNanoseconds;
  syscall(SYS_sched_setattr, 0, &attr, 0);  // a kernel that knows no turns ignores them
}

#else

void ask_for_short_turns() {}

#endif

}  // namespace lamina
