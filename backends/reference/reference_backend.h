// SPDX-License-Identifier: Apache-2.0
// The oracle: every op written plainly, one row at a time, never tuned. Slow by design.
#pragma once

#include <memory>

#include "core/engine/backend.h"

namespace lamina {

std::unique_ptr<Backend> make_reference_backend();

}  // namespace lamina
