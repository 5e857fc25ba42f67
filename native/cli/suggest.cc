// SPDX-License-Identifier: Apache-2.0
#include "native/cli/suggest.h"

#include <algorithm>
#include <vector>

namespace lamina::cli {
namespace {

// Damerau's distance with adjacent swaps, on three rows of the table.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string closest(std::string_view typed, std::span<const std::string> candidates) {
  constexpr size_t kLongest = 64;  // keeps hostile arguments cheap; and two letters are anything
  if (typed.size() < 3 || typed.size() > kLongest) return {};
  std::string best;
  size_t best_distance = std::max<size_t>(1, typed.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(typed, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  if (!best.empty()) return best;
  for (const std::string& candidate : candidates) {  // an unfinished word: --temperature, --thread
    const std::string_view shorter = typed.size() < candidate.size() ? typed : candidate;
    const std::string_view longer = typed.size() < candidate.size() ? candidate : typed;
    if (shorter.size() >= 4 && longer.starts_with(shorter)) return candidate;
  }
  return {};
}

std::string did_you_mean(std::string_view typed, std::span<const std::string> candidates) {
  const std::string best = closest(typed, candidates);
  return best.empty() ? "" : "; did you mean '" + best + "'?";
}

}  // namespace lamina::cli
