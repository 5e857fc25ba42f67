// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace lamina {

// Turns the bytes of tokens into text that can be shown at once: never half a code point, invalid
// bytes as U+FFFD, and nothing that might turn out to be the beginning of a stop string. How the
// bytes are cut into pieces does not change the text in sum. Copyable.
class TextStream {
 public:
  static constexpr size_t kMaxStops = 16;
  static constexpr size_t kMaxStopBytes = 256;

  // kInvalidArgument: too many stop strings, or one that is empty, too long or not UTF-8.
  static Result<TextStream> create(std::vector<std::string> stops);

  // The text that is ready now. Empty once stopped.
  std::string push(std::string_view bytes);

  // What was held back; call once, at the end. May complete no stop string any more.
  std::string flush();

  // The first stop string to be completed ended the text before its beginning.
  bool stopped() const { return stop_index_ >= 0; }
  int stop_index() const { return stop_index_; }  // into the list given; -1 while not stopped

 private:
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  bool find_stop();                // sets stop_index_ and cuts held_
  size_t possible_stop() const;    // bytes at the end of held_ that may begin a stop string

  std::vector<std::string> stops_;
  std::string partial_;  // bytes of a code point that is not whole yet
  std::string held_;     // whole code points, not given out yet
  int stop_index_ = -1;
};

}  // namespace lamina
