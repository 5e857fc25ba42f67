// SPDX-License-Identifier: Apache-2.0
// A WebSocket peer's bytes after the upgrade. However they are cut, the same messages come out,
// they are UTF-8 within the limit, and the end comes once.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "native/daemon/ws_codec.h"

namespace {

using lamina::daemon::WsCodec;

constexpr size_t kMostMessage = 1000;

struct Heard {
  std::vector<std::string> messages;
  std::string written;
  int ended = 0;
  bool operator==(const Heard&) const = default;
};

Heard hear(const char* bytes, size_t size, size_t step) {
  Heard out;
  WsCodec::Events events;
  events.write = [&](std::string text) { out.written += text; };
  events.message = [&](std::string text) {
    LAMINA_CHECK(text.size() <= kMostMessage && lamina::is_valid_utf8(text));
    LAMINA_CHECK(out.ended == 0);
    out.messages.push_back(std::move(text));
  };
  events.pinged = [] {};
  events.ponged = [] {};
  events.ended = [&] { ++out.ended; };
  auto codec =
      WsCodec::open("dGhlIHNhbXBsZSBub25jZQ==", "lamina.v1", kMostMessage, std::move(events));
  LAMINA_CHECK(codec->is_open());
  for (size_t at = 0; at < size; at += step) {
    codec->received(bytes + at, std::min(step, size - at));
  }
  LAMINA_CHECK(out.ended <= 1);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const char* bytes = reinterpret_cast<const char*>(data);
  Heard whole = hear(bytes, size, SIZE_MAX), single = hear(bytes, size, 1);
  LAMINA_CHECK(whole.messages == single.messages);
  LAMINA_CHECK(whole.written == single.written);
  return 0;
}
