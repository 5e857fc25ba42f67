// SPDX-License-Identifier: Apache-2.0
#include "native/daemon/session_frames.h"

#include <algorithm>

namespace lamina::daemon {

void SessionFrames::add(Frame frame) {
  const size_t size = size_of(frame);
  bytes_ += size;
  waiting_bytes_ += size;
  frames_.push_back(std::move(frame));
  shrink();
}

SessionFrames::Frame* SessionFrames::next() {
  return waiting() ? &frames_[cursor_] : nullptr;
}

void SessionFrames::sent() {
  waiting_bytes_ -= size_of(frames_[cursor_]);
  frames_[cursor_].computed = {};
  ++cursor_;
  shrink();
}

// Only what was sent goes: who produces frames is held back by waiting_bytes().
void SessionFrames::shrink() {
  while (bytes_ > most_bytes_ && cursor_ > 0) {
    const Frame frame = std::move(frames_.front());
    frames_.pop_front();
    --cursor_;
    bytes_ -= size_of(frame);
    dropped_[frame.id] = frame.seq;
    if (on_dropped) on_dropped(frame.id, frame.seq);
  }
}

std::vector<std::string> SessionFrames::rewind(const std::map<std::string, int64_t>& last_seq) {
  const auto known = [&](const std::string& id) {
    const auto found = last_seq.find(id);
    return found == last_seq.end() ? int64_t{0} : found->second;
  };
  std::vector<std::string> gone;
  for (const auto& [id, seq] : dropped_) {
    if (seq > known(id)) gone.push_back(id);
  }
  for (const std::string& id : gone) forget(id);
  std::erase_if(frames_, [&](const Frame& f) { return f.seq <= known(f.id); });
  for (auto& [id, seq] : dropped_) seq = std::max(seq, known(id));
  cursor_ = 0;
  bytes_ = 0;
  for (const Frame& frame : frames_) bytes_ += size_of(frame);
  waiting_bytes_ = bytes_;
  return gone;
}

void SessionFrames::forget(const std::string& id) {
  dropped_.erase(id);
  size_t index = 0, before = 0;
  std::erase_if(frames_, [&](const Frame& f) {
    const bool gone = f.id == id;
    if (gone) {
      bytes_ -= size_of(f);
      if (index >= cursor_) waiting_bytes_ -= size_of(f);
      if (index < cursor_) ++before;
    }
    ++index;
    return gone;
  });
  cursor_ -= before;
}

}  // namespace lamina::daemon
