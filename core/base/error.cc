// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <cstdarg>
#include <cstdio>

namespace lamina {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kInvalidArgument: return "invalid_argument";
    case Code::kInvalidModel: return "invalid_model";
    case Code::kIntegrity: return "integrity";
    case Code::kNotFound: return "not_found";
    case Code::kIo: return "io";
    case Code::kOutOfMemory: return "out_of_memory";
    case Code::kUnsupported: return "unsupported";
    case Code::kDevice: return "device";
    case Code::kCancelled: return "cancelled";
    case Code::kResourceExhausted: return "resource_exhausted";
    case Code::kContextExceeded: return "context_exceeded";
    case Code::kQueueFull: return "queue_full";
    case Code::kDraining: return "draining";
    case Code::kUnloaded: return "unloaded";
  }
  return "unknown";
}

Error make_error(Code code, const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  const int length = vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string message(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  if (length > 0) vsnprintf(message.data(), message.size() + 1, format, again);
  va_end(again);
  return Error{code, std::move(message)};
}

std::string quote(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string out = "'";
  for (char c : text.substr(0, kMost)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      char hex[8];
      snprintf(hex, sizeof hex, "\\x%02x", byte);
      out += hex;
    } else {
      out += c;
    }
  }
  // A cut code point would make the message invalid UTF-8.
  while (text.size() > kMost && !out.empty() && (out.back() & 0xC0) == 0x80) out.pop_back();
  if (text.size() > kMost && (static_cast<unsigned char>(out.back()) & 0xC0) == 0xC0) out.pop_back();
  out += text.size() > kMost ? "…'" : "'";
  return out;
}

}  // namespace lamina
