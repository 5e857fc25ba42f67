// SPDX-License-Identifier: Apache-2.0
// The bindings of a product with weights, in the order of shapes.glsl.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;  // [PART_ROWS][ROW_WORDS4]
//!if WEIGHT_I8
@group(0) @binding(1) var<storage, read> scales: array<f32>;         // [PART_ROWS][GROUPS]
//!end
//!if BIAS
@group(0) @binding(2) var<storage, read> bias: array<f32>;           // [weight rows of the whole tensor]
//!end
//!if FUSED
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;        // [rows][X_STRIDE / 4]
//!if NORM
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;     // [COLS], padded
//!end
//!else
//!if WEIGHT_I8
@group(0) @binding(5) var<storage, read> xq: array<vec4<u32>>;       // [rows][ROW_WORDS4]
@group(0) @binding(6) var<storage, read> xs: array<f32>;             // [rows][BLOCKS]
//!else
@group(0) @binding(5) var<storage, read> xq: array<vec4<f32>>;       // [rows][ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4]
//!end
//!end
@group(0) @binding(7) var<storage, read_write> out_rows: array<f32>; // [rows][OUT_STRIDE]
@group(0) @binding(8) var<storage, read> head: array<u32>;
