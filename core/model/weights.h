// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "core/tensor/weight.h"

namespace lamina {

// A model's weights by manifest name. Views borrow memory from whoever loaded the model, which
// must outlive every backend that was prepared with the map.
using WeightMap = std::map<std::string, WeightView, std::less<>>;

}  // namespace lamina
