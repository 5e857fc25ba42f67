// SPDX-License-Identifier: Apache-2.0
// What a session has said and may have to say again. Frames of all its requests in one row, a
// cursor between those that were sent on the connection at hand and those that were not; the oldest
// sent ones go when there are too many.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace lamina::daemon {

class SessionFrames {
 public:
  using Clock = std::chrono::steady_clock;
  struct Frame {
    std::string id;
    int64_t seq = 0;
    std::string text;
    Clock::time_point computed{};  // of its first token; zero: no token, or sent before
  };
  // What is kept of a frame besides its text, about.
  static constexpr size_t kOverhead = 96;

  explicit SessionFrames(size_t most_bytes) : most_bytes_(most_bytes) {}

  void add(Frame frame);
  // The next frame to send, or null. Valid until the next call.
  Frame* next();
  void sent();  // that one; may forget old ones

  // From here on everything after `last_seq` is to be sent again; a request that is not in it is
  // sent from its first frame. Returns the requests of which frames in between are no longer kept.
  std::vector<std::string> rewind(const std::map<std::string, int64_t>& last_seq);
  // Nothing of this request is to be sent any more.
  void forget(const std::string& id);

  bool waiting() const { return cursor_ < frames_.size(); }
  size_t waiting_bytes() const { return waiting_bytes_; }
  size_t bytes() const { return bytes_; }
  // A sent frame is no longer kept. May call forget_past() of the same request.
  std::function<void(const std::string& id, int64_t seq)> on_dropped;
  // This request has no frames here and gets no more.
  void forget_past(const std::string& id) { dropped_.erase(id); }

 private:
  static size_t size_of(const Frame& frame) {
    return frame.text.size() + frame.id.size() + kOverhead;
  }
  void shrink();

  size_t most_bytes_;
  std::deque<Frame> frames_;
  size_t cursor_ = 0;
  size_t bytes_ = 0, waiting_bytes_ = 0;
  std::map<std::string, int64_t> dropped_;  // of requests with frames here: the last one let go
};

}  // namespace lamina::daemon
