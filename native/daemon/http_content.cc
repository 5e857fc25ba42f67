// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_content.h"

#include <algorithm>
#include <utility>

#include "native/daemon/http_target.h"

namespace lamina::daemon {

namespace {

constexpr size_t kPiece = 32 << 10;

bool parse_position(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 18) return false;
  out = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + static_cast<uint64_t>(c - '0');
  }
  return true;
}

// Writes pieces as long as the peer takes them; kept by the responder's own callback.
class Pump {
 public:
  Pump(std::shared_ptr<HttpResponder> responder, std::shared_ptr<const Content> content,
       const ByteRange& range, size_t max_unsent)
      : responder_(std::move(responder)),
        content_(std::move(content)),
        at_(range.first),
        end_(range.first + range.count),
        most_(low_water(max_unsent)) {}

  void go_on() {
    while (at_ < end_ && responder_->connected() && responder_->unsent() <= most_) {
      size_t count = static_cast<size_t>(std::min<uint64_t>(kPiece, end_ - at_));
      auto piece = content_->read(at_, count);
      if (!piece) break;  // end() before the told length breaks the connection off
      at_ += count;
      responder_->write(std::move(*piece));
      if (at_ < end_) continue;
      return responder_->end();
    }
    if (responder_->connected() && responder_->unsent() <= most_) responder_->end();
  }

 private:
  std::shared_ptr<HttpResponder> responder_;
  std::shared_ptr<const Content> content_;
  uint64_t at_, end_;
  size_t most_;
};

ByteRange wanted_range(const HttpRequest& request, const Content& content) {
  std::string_view range = request.header("range"), condition = request.header("if-range");
  ByteRange whole{ByteRange::Kind::kWhole, 0, content.size};
  if (range.empty() || request.method != "GET") return whole;
  if (!condition.empty() && condition != content.etag) return whole;  // dates are never equal
  return parse_range(range, content.size);
}

}  // namespace

ByteRange parse_range(std::string_view header, uint64_t size) {
  ByteRange whole{ByteRange::Kind::kWhole, 0, size};
  if (header.size() < 6 || !equals_ignoring_case(header.substr(0, 6), "bytes=")) return whole;
  header.remove_prefix(6);
  size_t dash = header.find('-');
  if (dash == std::string_view::npos) return whole;
  std::string_view from = header.substr(0, dash), to = header.substr(dash + 1);
  uint64_t first = 0, last = 0;
  if (from.empty()) {  // the last bytes
    if (!parse_position(to, last)) return whole;
    if (last == 0 || size == 0) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
    uint64_t count = std::min(last, size);
    return {ByteRange::Kind::kPart, size - count, count};
  }
  if (!parse_position(from, first)) return whole;
  if (to.empty()) {
    last = UINT64_MAX;
  } else if (!parse_position(to, last) || last < first) {
    return whole;
  }
  if (first >= size) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
  return {ByteRange::Kind::kPart, first, std::min(last, size - 1) - first + 1};
}

bool etag_listed(std::string_view list, std::string_view etag) {
  if (list == "*") return true;
  return list_has(list, etag) || list_has(list, "W/" + std::string(etag));
}

std::string media_type(std::string_view file) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".json", "application/json"},
      {".map", "application/json"},
      {".webmanifest", "application/manifest+json"},
      {".wasm", "application/wasm"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".ico", "image/x-icon"},
      {".webp", "image/webp"},
      {".woff2", "font/woff2"},
      {".txt", "text/plain; charset=utf-8"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (file.ends_with(ending)) return std::string(type);
  }
  return "application/octet-stream";
}

void answer_content(const HttpRequest& request, std::shared_ptr<HttpResponder> responder,
                    std::shared_ptr<const Content> content, size_t max_unsent) {
  HeaderList headers = content->more;
  headers.emplace_back("ETag", content->etag);
  headers.emplace_back("Cache-Control", content->cache_control);
  headers.emplace_back("Accept-Ranges", "bytes");
  std::string_view known = request.header("if-none-match");
  if (!known.empty() && etag_listed(known, content->etag))
    return responder->respond(304, headers, {});
  ByteRange range = wanted_range(request, *content);
  std::string size = std::to_string(content->size);
  if (range.kind == ByteRange::Kind::kUnsatisfiable) {
    return responder->respond(416, {{"Content-Range", "bytes */" + size}}, {});
  }
  bool part = range.kind == ByteRange::Kind::kPart;
  if (part) {
    headers.emplace_back("Content-Range", "bytes " + std::to_string(range.first) + "-" +
                                              std::to_string(range.first + range.count - 1) + "/" +
                                              size);
  }
  headers.emplace_back("Content-Type", content->type);
  headers.emplace_back("Content-Length", std::to_string(range.count));
  responder->begin(part ? 206 : 200, headers);
  if (request.method == "HEAD") return responder->end();
  auto pump = std::make_shared<Pump>(responder, std::move(content), range, max_unsent);
  responder->on_drained([pump] { pump->go_on(); });
  pump->go_on();
}

}  // namespace lamina::daemon
