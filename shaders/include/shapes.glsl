// SPDX-License-Identifier: Apache-2.0
// Specialization constants of the ops that multiply with weights, and their push constants.
layout(constant_id = 2) const uint COLS = 1;         // of the weight
layout(constant_id = 3) const uint UNITS = 1;        // pairs of weight rows, the last perhaps half
layout(constant_id = 4) const uint ROW_WORDS4 = 4;   // 16-byte words of a padded weight row
layout(constant_id = 5) const uint BLOCK = 128;      // columns of an activation scale
layout(constant_id = 6) const uint GROUP = 0;        // columns of a weight scale; 0: the whole row
layout(constant_id = 7) const uint M = 1;            // rows of x in one pass
layout(constant_id = 8) const uint U = 2;            // units of a subgroup
layout(constant_id = 9) const uint N_OUT = 2;        // outputs per row of x: weight rows, or half
layout(constant_id = 10) const uint HEAD_DIM = 2;
layout(constant_id = 11) const uint N_HEADS = 1;
layout(constant_id = 12) const uint N_KV_HEADS = 1;
layout(constant_id = 13) const float EPS = 1e-5;
layout(constant_id = 14) const uint X_STRIDE = 4;    // floats between rows of x
layout(constant_id = 15) const uint OUT_STRIDE = 4;  // floats between rows of out
layout(constant_id = 16) const bool NORM = false;    // x passes through rms_norm
layout(constant_id = 17) const bool GATHER = false;  // rows of x are found through `selected`
layout(constant_id = 18) const uint KV_TYPE = 0;     // see kv.glsl
layout(constant_id = 19) const uint UNROLL = 2;      // 16-byte words of a row in flight
layout(constant_id = 20) const bool SHUFFLE = false; // a block's words lie within one subgroup
layout(constant_id = 21) const bool BIAS = false;
layout(constant_id = 22) const uint VALUES_AT = 0;  // elements from a layer's keys to its values

#if defined(WEIGHT_F16)
const uint WEIGHTS_PER_WORD4 = 8;
#elif defined(WEIGHT_F32)
const uint WEIGHTS_PER_WORD4 = 4;
#else
const uint WEIGHTS_PER_WORD4 = 16;
#endif
const uint BLOCKS = (COLS + BLOCK - 1) / BLOCK;
const uint GROUPS = GROUP == 0 ? 1 : (COLS + GROUP - 1) / GROUP;

layout(push_constant, scalar) uniform Push {
  Uvec4s weights;     // [rows][ROW_WORDS4]
  Floats scales;      // i8: [rows][GROUPS]
  Floats bias;        // [rows]
  Vec4s x;            // [rows of x][X_STRIDE / 4]
  Vec4s norm;         // [COLS]
  Uvec4s xq;          // quantized x: [rows of x][ROW_WORDS4]
  Floats xs;          // its scales: [rows of x][BLOCKS]
  Floats out_rows;    // [rows of x][OUT_STRIDE]
  Heads head;
  Rows rows;
  Uints pages;
  Uints selected;
  Floats rope;        // [rows][HEAD_DIM]: cosines, then sines
  Uints keys;         // of this layer, see kv.glsl; for an int8 cache: see qkv_rope.comp
} p;
