// SPDX-License-Identifier: Apache-2.0
// out[m][c] = x[m][c] / sqrt(mean(x[m]^2) + eps) * norm[c]: for a norm that no product takes in. A
// workgroup takes one row.
// Bindings: 3 x, 4 norm, 7 out_rows, 8 head.
//!include "common.wgsl"
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> out_rows: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read> head: array<u32>;
//!include "lanes.wgsl"
const WEIGHTS_PER_WORD4 = 4u;
fn store_float4(word: u32, v: vec4<f32>) { out_rows[own_row * (OUT_STRIDE / 4u) + word] = v; }
//!include "prepare_main.wgsl"
