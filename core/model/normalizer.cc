// SPDX-License-Identifier: Apache-2.0
#include "core/model/normalizer.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/numeric.h"

namespace lamina {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t found = std::min(text.find(from, begin), text.size());
    out += text.substr(begin, found - begin);
    if (found == text.size()) break;
    out += to;
    begin = found + from.size();
  }
  return out;
}

std::string replace_marks(std::string_view marks, std::string_view text, std::string_view from,
                          std::string_view to) {
  std::string out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t found = std::min(text.find(from, begin), text.size());
    out += marks.substr(begin, found - begin);
    if (found == text.size()) break;
    const bool all = marks.substr(found, from.size()).find('\0') == std::string_view::npos;
    out.append(to.size(), static_cast<char>(all));
    begin = found + from.size();
  }
  return out;
}

bool Normalizer::add_prepend(std::string text) {
  prepended_ += text.size();
  if (prepended_ > kMostPrepended) return false;
  steps_.push_back({"", std::move(text)});
  return true;
}

bool Normalizer::add_replace(std::string from, std::string to) {
  LAMINA_CHECK(!from.empty());
  const size_t factor = std::max<size_t>(1, div_up(to.size(), from.size()));
  if (factor > kMostGrowth / growth_) return false;
  growth_ *= factor;
  steps_.push_back({std::move(from), std::move(to)});
  return true;
}

std::string Normalizer::apply(std::string_view text, std::string* marks) const {
  std::string out(text);
  for (const Step& step : steps_) {
    if (out.empty()) break;
    if (marks && !marks->empty()) {
      *marks = step.from.empty() ? std::string(step.to.size(), marks->front()) + *marks
                                 : replace_marks(*marks, out, step.from, step.to);
    }
    out = step.from.empty() ? step.to + out : replace_all(out, step.from, step.to);
  }
  return out;
}

}  // namespace lamina
