// SPDX-License-Identifier: Apache-2.0
// What tokenizers ask of a code point: \p{L}, \p{N}, \s and \w, as Oniguruma and Rust's regex mean
// them. Data of Unicode 15.0; code points assigned later are in no class.
#pragma once

#include <cstdint>

namespace lamina {

constexpr uint8_t kUnicodeLetter = 1;  // general category L*
constexpr uint8_t kUnicodeNumber = 2;  // general category N*
constexpr uint8_t kUnicodeSpace = 4;   // White_Space
constexpr uint8_t kUnicodeWord = 8;    // Alphabetic, M*, Nd, Pc, Join_Control

extern const uint32_t kUnicodeIndexed;      // code points from here on are in no class
extern const uint8_t kUnicodePageOf[];      // by code point / 256
extern const uint64_t kUnicodePages[][16];  // 16 code points a word, 4 bits each

// Bits of the above. REQUIRES: code_point <= 0x10FFFF.
inline uint8_t unicode_class(uint32_t code_point) {
  if (code_point >= kUnicodeIndexed) return 0;
  const uint64_t word = kUnicodePages[kUnicodePageOf[code_point >> 8]][(code_point >> 4) & 15];
  return static_cast<uint8_t>((word >> (4 * (code_point & 15))) & 15);
}

}  // namespace lamina
