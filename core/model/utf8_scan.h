// SPDX-License-Identifier: Apache-2.0
// Walking over text that is known to be valid UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lamina {

struct ScannedChar {
  uint32_t value;
  uint32_t bytes;
};

// REQUIRES: valid UTF-8, i < text.size() on a code point's border.
inline ScannedChar scan_char(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) {
    return static_cast<uint32_t>(static_cast<uint8_t>(text[i + k]));
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 7) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

// Where the code point that ends before `end` begins. REQUIRES: valid UTF-8, end > 0.
inline size_t char_before(std::string_view text, size_t end) {
  do {
    --end;
  } while ((static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
  return end;
}

}  // namespace lamina
