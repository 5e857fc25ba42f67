// SPDX-License-Identifier: Apache-2.0
// A connection's bytes. However they are cut, the requests are the same, and what is let through
// keeps the parser's promises.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/utf8.h"
#include "native/daemon/auth.h"
#include "native/daemon/http_content.h"
#include "native/daemon/http_parse.h"
#include "native/daemon/static_files.h"

namespace {

using namespace lamina::daemon;
using State = HttpParser::State;

constexpr size_t kMostBody = 4096;

void check_head(const RequestHead& head) {
  const std::string& path = head.target.path;
  LAMINA_CHECK(path.starts_with('/') && lamina::is_valid_utf8(path));
  LAMINA_CHECK(("/" + path + "/").find("/../") == std::string::npos);
  for (char c : path) LAMINA_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != '\\');
  LAMINA_CHECK(!(head.has_length && head.chunked));
  LAMINA_CHECK(head.headers.size() <= HttpParser::kMaxHeaders);
  for (const auto& [name, value] : head.headers) {
    LAMINA_CHECK(!name.empty() && name == ascii_lower(name));
    LAMINA_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
}

// All requests on a connection, as text, up to the first that is refused.
std::vector<std::string> requests(std::string_view input, size_t step) {
  std::vector<std::string> out;
  HttpParser parser;
  while (!input.empty()) {
    input.remove_prefix(parser.feed(input.substr(0, step)));
    if (parser.state() == State::kHeadDone) {
      check_head(parser.head());
      parser.take_body(kMostBody);
    }
    if (parser.state() == State::kFailed) {
      out.push_back(std::to_string(parser.status()));
      break;
    }
    if (parser.state() != State::kDone) continue;
    LAMINA_CHECK(parser.body().size() <= kMostBody);
    out.push_back(parser.head().method + " " + parser.head().target.path + "\n" + parser.body());
    parser.reset();
  }
  return out;
}

void check_values(std::string_view text) {
  lamina::daemon::ByteRange range = parse_range(text, 1000);
  LAMINA_CHECK(range.first + range.count <= 1000);
  (void)accepts_coding(text, "br");
  (void)etag_listed(text, "\"x\"");
  (void)bearer_token(text, text);
  (void)parse_host(text);
  (void)is_loopback(text);
  auto target = parse_target(text);
  if (target) LAMINA_CHECK(target->path.starts_with('/'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  auto whole = requests(input, SIZE_MAX);
  LAMINA_CHECK(whole == requests(input, 1));
  LAMINA_CHECK(whole == requests(input, 7));
  check_values(input);
  return 0;
}
