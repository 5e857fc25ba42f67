// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_content.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "core/base/check.h"
#include "native/daemon/http_target.h"

namespace lamina::daemon {

namespace {

constexpr size_t kPiece = 32 << 10;
constexpr size_t kPiecesAtOnce = 4;  // that one visit to the disk fetches

using Pieces = std::deque<std::string>;

// `count` bytes in pieces; none when they can't be had.
Pieces read_pieces(const Content& content, uint64_t offset, size_t count) {
  Pieces out;
  for (size_t done = 0; done < count; done += kPiece) {
    auto piece = content.read(offset + done, std::min(kPiece, count - done));
    if (!piece) return {};
    out.push_back(std::move(*piece));
  }
  return out;
}

// Writes pieces as long as the peer takes them; kept by the responder's own callback. What may wait
// for a disk is read off the event loop, one block at a time, while the peer takes the pieces
// before it.
class Pump : public std::enable_shared_from_this<Pump> {
 public:
  Pump(std::shared_ptr<HttpResponder> responder, std::shared_ptr<const Content> content,
       const ByteRange& range, size_t max_unsent, HttpServer* server)
      : responder_(std::move(responder)),
        content_(std::move(content)),
        at_(range.first),
        end_(range.first + range.count),
        most_(low_water(max_unsent)),
        server_(server) {}

  void go_on() {
    while (!reading_) {
      if (pieces_.empty() && at_ == end_) return responder_->end();
      if (!responder_->connected() || responder_->unsent() > most_) return;
      if (pieces_.empty()) {
        fetch();
      } else {
        write_piece();
      }
    }
  }

 private:
  void write_piece() {
    std::string piece = std::move(pieces_.front());
    pieces_.pop_front();
    responder_->write(std::move(piece));
  }

  void fetch() {
    size_t most = content_->may_block ? kPiece * kPiecesAtOnce : kPiece;
    size_t count = static_cast<size_t>(std::min<uint64_t>(most, end_ - at_));
    reading_ = true;
    if (!content_->may_block) return take(read_pieces(*content_, at_, count), count);
    auto out = std::make_shared<Pieces>();
    std::weak_ptr<Pump> self = weak_from_this();
    auto read = [self, content = content_, out, at = at_, count] {
      if (!self.expired()) *out = read_pieces(*content, at, count);
    };
    auto then = [self, out, count] {
      auto live = self.lock();
      if (!live) return;
      live->take(std::move(*out), count);
      live->go_on();
    };
    if (!server_->offload(std::move(read), std::move(then))) responder_->end();
  }

  // Ended before the told length, the connection breaks off.
  void take(Pieces pieces, size_t count) {
    if (pieces.empty()) return responder_->end();
    reading_ = false;
    at_ += count;
    pieces_ = std::move(pieces);
  }

  std::shared_ptr<HttpResponder> responder_;
  std::shared_ptr<const Content> content_;
  Pieces pieces_;      // read and not written
  uint64_t at_, end_;  // to be read
  size_t most_;
  HttpServer* server_;
  bool reading_ = false;
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
    if (!parse_decimal(to, last)) return whole;
    if (last == 0 || size == 0) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
    uint64_t count = std::min(last, size);
    return {ByteRange::Kind::kPart, size - count, count};
  }
  if (!parse_decimal(from, first)) return whole;
  if (to.empty()) {
    last = UINT64_MAX;
  } else if (!parse_decimal(to, last) || last < first) {
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
                    std::shared_ptr<const Content> content, size_t max_unsent, HttpServer* server) {
  LAMINA_CHECK(server || !content->may_block);
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
  auto pump = std::make_shared<Pump>(responder, std::move(content), range, max_unsent, server);
  responder->on_drained([pump] { pump->go_on(); });
  pump->go_on();
}

}  // namespace lamina::daemon
