// SPDX-License-Identifier: Apache-2.0
// Answers with bytes that have an identity: conditional requests, one range, pieces as the peer
// takes them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "native/daemon/http.h"
#include "native/daemon/http_text.h"

namespace lamina::daemon {

struct Content {
  std::string type;  // of media
  std::string etag;  // strong, with its quotes
  std::string cache_control;
  uint64_t size = 0;
  HeaderList more;         // further headers of 200, 206 and 304
  bool may_block = false;  // read() may wait for a disk and is called off the event loop
  // [offset, offset + count), within size. Where it may block, also by several threads at once.
  std::function<Result<std::string>(uint64_t offset, size_t count)> read;
};

// At most low_water(max_unsent) and 128 KiB are in memory for one answer. The server is where reads
// that may block are done, and needed for those alone.
void answer_content(const HttpRequest& request, std::shared_ptr<HttpResponder> responder,
                    std::shared_ptr<const Content> content, size_t max_unsent,
                    HttpServer* server = nullptr);

// "bytes=..." of a body of `size` bytes.
struct ByteRange {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind =
      Kind::kWhole;  // also for what is malformed or asks for several ranges (RFC 9110, 14.2)
  uint64_t first = 0, count = 0;
};
ByteRange parse_range(std::string_view header, uint64_t size);

// If-None-Match.
bool etag_listed(std::string_view list, std::string_view etag);

std::string media_type(std::string_view file);

}  // namespace lamina::daemon
