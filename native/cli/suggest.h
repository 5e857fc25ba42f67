// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lamina::cli {

// The candidate that `typed` most likely meant, or "" when none is near enough: at most a third of
// its letters wrong, swapped, missing or too many.
std::string closest(std::string_view typed, std::span<const std::string> candidates);

// "; did you mean 'X'?" or "".
std::string did_you_mean(std::string_view typed, std::span<const std::string> candidates);

}  // namespace lamina::cli
