// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/model/manifest.h"

namespace lamina {

constexpr int64_t kMaxTensorRows = int64_t{1} << 22;
constexpr int64_t kMaxTensorCols = int64_t{1} << 20;

// Whether the parts of a manifest fit together; fields are in range already. `what` names the
// manifest in errors.
Result<void> check_manifest(const Manifest& manifest, std::string_view what);

}  // namespace lamina
