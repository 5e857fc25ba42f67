// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace lamina {

struct MemoryFacts {
  uint64_t resident = 0;       // of this process, bytes
  uint64_t peak_resident = 0;  // highest so far
  uint64_t anonymous = 0;      // of resident: not backed by files
  uint64_t huge = 0;           // of anonymous: in huge pages
  uint64_t available = 0;      // what could be had without swapping, within the cgroup's limit
  uint64_t total = 0;          // of the machine
};

// Zero where the system does not say.
MemoryFacts memory_facts();

}  // namespace lamina
