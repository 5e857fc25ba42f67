// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/http_parse.h"

#include <algorithm>

#include "core/base/check.h"
#include "native/daemon/http_text.h"

namespace lamina::daemon {

namespace {

constexpr size_t kMaxChunkLine = 256;

bool is_token_char(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

// Field values: visible bytes, bytes above 127, blanks.
bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    unsigned char byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool parse_chunk_length(std::string_view text, uint64_t& out) {
  if (text.empty() || text.size() > 8) return false;
  out = 0;
  for (char c : text) {
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return false;
    out = out * 16 + static_cast<uint64_t>(digit);
  }
  return true;
}

size_t count_of(const RequestHead& head, std::string_view name) {
  return static_cast<size_t>(std::count_if(head.headers.begin(), head.headers.end(),
                                           [&](const auto& field) { return field.first == name; }));
}

}  // namespace

std::string_view RequestHead::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::string RequestHead::list(std::string_view lower_case_name) const {
  std::string out;
  for (const auto& [name, value] : headers) {
    if (name != lower_case_name) continue;
    if (!out.empty()) out += ", ";
    out += value;
  }
  return out;
}

void HttpParser::fail(int status) {
  state_ = State::kFailed;
  status_ = status;
}

void HttpParser::reset() {
  *this = HttpParser();
}

size_t HttpParser::feed(std::string_view input) {
  size_t used = 0;
  while (used < input.size() && (state_ == State::kHead || state_ == State::kBody)) {
    started_ = true;
    bool data = part_ == Part::kLength || part_ == Part::kChunkData;
    used += data ? take_data(input.substr(used)) : take_line(input.substr(used));
  }
  return used;
}

size_t HttpParser::take_data(std::string_view input) {
  size_t count = static_cast<size_t>(std::min<uint64_t>(left_, input.size()));
  body_.append(input.substr(0, count));
  left_ -= count;
  if (left_ > 0) return count;
  if (part_ == Part::kLength) {
    state_ = State::kDone;
  } else {
    part_ = Part::kChunkEnd;
  }
  return count;
}

size_t HttpParser::take_line(std::string_view input) {
  size_t newline = input.find('\n');
  size_t count = newline == std::string_view::npos ? input.size() : newline + 1;
  bool in_head = state_ == State::kHead;
  size_t most = in_head || part_ == Part::kTrailers ? kMaxLine : kMaxChunkLine;
  if (line_.size() + count > most) {
    fail(part_ == Part::kRequestLine ? 414 : most == kMaxLine ? 431 : 400);
    return count;
  }
  head_bytes_ += count;
  if (head_bytes_ > kMaxHead && (in_head || part_ == Part::kTrailers)) {
    fail(431);
    return count;
  }
  line_.append(input.substr(0, count));
  if (newline == std::string_view::npos) return count;
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r') {
    fail(400);
    return count;
  }
  line_.resize(line_.size() - 2);
  on_line();
  line_.clear();
  return count;
}

void HttpParser::on_line() {
  switch (part_) {
    case Part::kRequestLine:
      return on_request_line();
    case Part::kFields:
      return line_.empty() ? on_head_end() : on_field();
    case Part::kChunkSize:
      return on_chunk_size();
    case Part::kChunkEnd:
      if (!line_.empty()) return fail(400);
      part_ = Part::kChunkSize;
      return;
    case Part::kTrailers:  // checked like fields, and dropped
      if (line_.empty()) {
        state_ = State::kDone;
        return;
      }
      on_field();
      if (state_ != State::kFailed) head_.headers.pop_back();
      return;
    case Part::kLength:
    case Part::kChunkData:
      LAMINA_CHECK(false);
  }
}

void HttpParser::on_request_line() {
  if (line_.empty() && !blank_taken_) {  // RFC 9112, 2.2
    blank_taken_ = true;
    started_ = false;
    return;
  }
  std::string_view line = line_;
  size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return fail(400);
  std::string_view method = line.substr(0, first), version = line.substr(last + 1);
  if (!is_token(method) || method.size() > 16) return fail(400);
  if (!version.starts_with("HTTP/")) return fail(400);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return fail(505);
  auto target = parse_target(line.substr(first + 1, last - first - 1));
  if (!target) return fail(400);
  head_.method = method;
  head_.target = std::move(*target);
  head_.minor_version = version.back() - '0';
  part_ = Part::kFields;
}

void HttpParser::on_field() {
  std::string_view line = line_;
  size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return fail(400);
  std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_value(value)) return fail(400);
  if (head_.headers.size() >= kMaxHeaders) return fail(431);
  head_.headers.emplace_back(ascii_lower(line.substr(0, colon)), value);
}

// How long the body is. False when it can be read in two ways.
bool HttpParser::read_framing() {
  size_t lengths = count_of(head_, "content-length"),
         codings = count_of(head_, "transfer-encoding");
  if (lengths + codings > 1) return false;
  if (lengths == 1) {
    head_.has_length = true;
    return parse_decimal(head_.header("content-length"), head_.length);
  }
  if (codings == 0) return true;
  head_.chunked = true;
  return head_.minor_version == 1;
}

void HttpParser::on_head_end() {
  if (count_of(head_, "host") != 1) return fail(400);
  auto host = parse_host(head_.header("host"));
  if (!host || (head_.target.authority && !(*head_.target.authority == *host))) return fail(400);
  head_.host = std::move(*host);
  if (!read_framing()) return fail(400);
  if (head_.chunked && !equals_ignoring_case(head_.header("transfer-encoding"), "chunked")) {
    return fail(501);
  }
  std::string connection = head_.list("connection");
  head_.keep_alive = !list_has(connection, "close") &&
                     (head_.minor_version == 1 || list_has(connection, "keep-alive"));
  head_.expects_continue =
      head_.minor_version == 1 && equals_ignoring_case(head_.header("expect"), "100-continue");
  state_ = State::kHeadDone;
}

void HttpParser::take_body(size_t most) {
  LAMINA_CHECK(state_ == State::kHeadDone);
  most_ = most;
  if (head_.length > most) return fail(413);
  left_ = head_.length;
  part_ = head_.chunked ? Part::kChunkSize : Part::kLength;
  state_ = head_.has_body() ? State::kBody : State::kDone;
}

void HttpParser::on_chunk_size() {
  std::string_view line = line_;
  size_t semicolon = line.find(';');
  if (!is_value(line) || !parse_chunk_length(line.substr(0, semicolon), left_)) {
    return fail(400);
  }
  if (left_ > most_ - body_.size()) return fail(413);
  part_ = left_ == 0 ? Part::kTrailers : Part::kChunkData;
  head_bytes_ = 0;
}

}  // namespace lamina::daemon
