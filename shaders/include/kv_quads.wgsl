// SPDX-License-Identifier: Apache-2.0
// Four neighbouring elements of the cache, from element index `at` on.
//!if KV_WORDS
fn quad(at: u32) -> vec4<f32> { return bitcast<vec4<f32>>(keys[at / 4u]); }
//!else
fn quad(at: u32) -> vec4<f32> {
  let word = keys[at / 8u];
  let half = select(word.xy, word.zw, at % 8u != 0u);
  return vec4<f32>(unpack2x16float(half.x), unpack2x16float(half.y));
}
//!end
