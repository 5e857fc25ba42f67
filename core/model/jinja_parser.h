// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "core/base/result.h"
#include "core/model/jinja_ast.h"

namespace lamina::jinja {

constexpr size_t kMaxSourceBytes = size_t{256} << 10;
constexpr uint32_t kMaxParseDepth = 32;  // of statements and brackets within each other

// Errors are kInvalidModel, or kUnsupported for Jinja that chat templates have no use for (blocks,
// inheritance, imports, call blocks, recursive loops), and read "line N: WHAT".
Result<std::shared_ptr<const Program>> parse(std::string_view source);

}  // namespace lamina::jinja
