// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string_view>

namespace lamina {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Where the library's remarks go. The core prints nothing itself. May be empty.
using LogSink = std::function<void(LogLevel, std::string_view)>;

}  // namespace lamina
