// SPDX-License-Identifier: Apache-2.0
// Rows of x made ready for a product with many of them: rms_norm if asked for, and for i8 weights
// quantization. A workgroup takes one row.
// Bindings: 3 x, 4 norm (NORM), 5 xq, 6 xs (i8), 8 head.
//!include "common.wgsl"
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
//!if NORM
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;
//!end
//!if WEIGHT_I8
@group(0) @binding(5) var<storage, read_write> xq: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> xs: array<f32>;
//!else
@group(0) @binding(5) var<storage, read_write> xq: array<vec4<f32>>;
//!end
@group(0) @binding(8) var<storage, read> head: array<u32>;
//!include "weights.wgsl"
//!include "lanes.wgsl"
//!if WEIGHT_I8
fn store_word4(word4: u32, packed: vec4<u32>) { xq[own_row * ROW_WORDS4 + word4] = packed; }
fn store_scale(block: u32, scale: f32) { xs[own_row * BLOCKS + block] = scale; }
//!else
fn store_float4(word: u32, v: vec4<f32>) { xq[own_row * (ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4u) + word] = v; }
//!end
//!include "prepare_main.wgsl"
