// SPDX-License-Identifier: Apache-2.0
// A strict, incremental reader of HTTP/1.1 requests (RFC 9112). It knows no socket.
//
// Refused although some servers take it: bare LF, obs-fold, blanks before a colon, two Hosts, two
// Content-Lengths even when equal, Content-Length beside Transfer-Encoding, codings other than one
// "chunked". What two parsers could read in two ways is nobody's request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "native/daemon/http_target.h"

namespace lamina::daemon {

struct RequestHead {
  std::string method;
  Target target;
  HostPort host;
  int minor_version = 1;                                     // HTTP/1.x
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case names, trimmed values
  bool keep_alive = true;
  bool expects_continue = false;
  bool chunked = false;
  bool has_length = false;
  uint64_t length = 0;  // of the body, with has_length

  std::string_view header(std::string_view lower_case_name) const;  // the first of this name
  std::string list(std::string_view lower_case_name) const;         // all of this name, joined
  bool has_body() const { return chunked || length > 0; }
};

class HttpParser {
 public:
  static constexpr size_t kMaxLine = 8 << 10;   // bytes of a line
  static constexpr size_t kMaxHead = 16 << 10;  // bytes of a head
  static constexpr size_t kMaxHeaders = 64;

  enum class State {
    kHead,      // wants more of the head
    kHeadDone,  // waits for take_body()
    kBody,      // wants more of the body
    kDone,      // head() and body() are whole
    kFailed,    // status() says why; the connection can't go on
  };

  // Takes bytes from the front of `input` and says how many; stops at kHeadDone, kDone and kFailed.
  size_t feed(std::string_view input);

  // REQUIRES: kHeadDone. More than `most` bytes are refused with 413.
  void take_body(size_t most);

  void reset();  // for the next request

  State state() const { return state_; }
  int status() const { return status_; }     // of a refusal: 400 413 414 431 501 505
  bool started() const { return started_; }  // a byte of this request has come
  RequestHead& head() { return head_; }
  const RequestHead& head() const { return head_; }
  std::string& body() { return body_; }

 private:
  enum class Part { kRequestLine, kFields, kLength, kChunkSize, kChunkData, kChunkEnd, kTrailers };

  size_t take_line(std::string_view input);
  size_t take_data(std::string_view input);
  void on_line();
  void on_request_line();
  void on_field();
  void on_head_end();
  void on_chunk_size();
  bool read_framing();
  void fail(int status);

  State state_ = State::kHead;
  Part part_ = Part::kRequestLine;
  int status_ = 0;
  bool started_ = false;
  bool blank_taken_ = false;
  std::string line_;
  size_t head_bytes_ = 0;  // of the head, later of the trailers
  RequestHead head_;
  std::string body_;
  size_t most_ = 0;    // bytes of body
  uint64_t left_ = 0;  // of the body or chunk
};

}  // namespace lamina::daemon
