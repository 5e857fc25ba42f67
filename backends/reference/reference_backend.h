// SPDX-License-Identifier: Apache-2.0
// The oracle: every op written plainly, one row at a time, never tuned. Slow by design.
#pragma once

#include <memory>

#include "core/engine/backend.h"

namespace lamina {

// `most_steps`: of a decode(), by any choice; it gains nothing by that, tests do.
std::unique_ptr<Backend> make_reference_backend(int32_t most_steps = 0);

}  // namespace lamina
