// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "backends/cpu/kernels/kernel_table.h"
#include "core/base/result.h"

namespace lamina::cpu {

// Tables that this machine can run, fastest first; the last is "scalar".
std::vector<const KernelTable*> available_kernels();

// The fastest, or the one named. kInvalidArgument for a name that does not exist, kUnsupported for
// one that this machine or build cannot run.
Result<const KernelTable*> choose_kernels(const std::string& force_isa);

}  // namespace lamina::cpu
