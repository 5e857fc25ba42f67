// SPDX-License-Identifier: Apache-2.0
// Weights as 16-byte words of a padded row, ROW_WORDS4 a row. A binding holds PART_ROWS rows that the
// host has laid out for it (web/webgpu/weights.ts): a tensor larger than a binding may be comes in several.
//!if WEIGHT_F32
const WEIGHTS_PER_WORD4 = 4u;
//!end
//!if WEIGHT_F16
const WEIGHTS_PER_WORD4 = 8u;
//!if SHADER_F16
fn halves(w: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(vec4<f16>(bitcast<vec2<f16>>(w.x), bitcast<vec2<f16>>(w.y)));
}
//!else
fn halves(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
//!end
//!end
//!if WEIGHT_I8
const WEIGHTS_PER_WORD4 = 16u;
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}
//!end
const BLOCKS = (COLS + BLOCK - 1u) / BLOCK;  // activation scales of a row
const GROUPS = select((COLS + max(GROUP, 1u) - 1u) / max(GROUP, 1u), 1u, GROUP == 0u);
