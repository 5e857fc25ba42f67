// SPDX-License-Identifier: Apache-2.0
// What every instruction set offers: one table of plain functions, filled by isa/<isa>.cc. Only
// plain structs here, and no inline functions: this header is compiled under each ISA's flags, and
// the linker must find nothing to mix up.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lamina::cpu {

constexpr int kStripRows = 32;      // weight rows of one matmul call, at most (but see strip_rows)
constexpr int kPagePositions = 64;  // = kPageSize
constexpr int kChunkPages = 4;      // pages whose attention is summed up before it is merged
constexpr int kVectorFloats = 16;   // widest vector; strides in floats are multiples of it

// Activations as tensor/quantize.h says, rows padded as the weights' rows are.
struct QuantizedRows {
  const int8_t* q;         // [rows][q_stride], zero beyond the columns; rows 64-byte aligned
  const int8_t* packed;    // for many rows: tiles of gemm_rows rows, each [row_bytes/4][packed_parts]
                           // [gemm_rows][4]
  const float* scales;     // [rows][block_stride]
  const int32_t* offsets;  // [rows][block_stride]: -128 * sum of the block's q
  size_t q_stride;
  size_t block_stride;
  int32_t rows;
};

// out[t][r] = x[t] . weights[r] for n_rows rows of an i8 matrix: kStripRows at most, or
// KernelTable::strip_rows for one row of x.
struct MatmulI8 {
  const int8_t* weights;  // [n_rows][row_bytes], placed (KernelTable::place_i8)
  const float* scales;    // [n_rows] or, grouped, [n_rows][blocks]
  size_t row_bytes;
  int32_t n_rows;
  int32_t cols;
  int32_t block;  // columns per activation scale: 32, 64 or 128
  bool grouped;
  QuantizedRows x;
  float* out;
  size_t out_stride;  // at least what n_rows may be: whole vectors are written
  void* scratch;      // matmul_i8_scratch bytes, 64-byte aligned
};

// The same for f32 or f16 weights.
struct MatmulFloat {
  const void* weights;  // [n_rows][row_bytes], zero beyond the columns
  size_t row_bytes;
  int32_t n_rows;
  int32_t cols;
  bool f16;
  const float* x;  // [x_rows][x_stride]
  size_t x_stride;
  int32_t x_rows;
  float* out;
  size_t out_stride;
};

// out[t][i] = silu(gate[t][i] + gate_bias[i]) * (up[t][i] + up_bias[i])
struct GateUpSilu {
  const float* gate;  // [rows][stride]
  const float* up;
  size_t stride;
  const float* gate_bias;  // null without
  const float* up_bias;
  int32_t rows;
  int32_t n;
  float* out;  // [rows][out_stride]
  size_t out_stride;
};

enum class KvFormat : uint8_t { kF32, kF16, kI8 };

// One page of one layer and kv head: keys [head_dim][64 positions], values [64 positions]
// [value_width], then for i8 the f32 scales of 64 keys and of 64 values.
struct KvBlock {
  void* data;
  int32_t head_dim;
  int32_t value_width;  // head_dim rounded up to kVectorFloats
  KvFormat format;
};

// Rows of one sequence, one kv head with the `group` query heads that share it.
struct Attention {
  const float* q;      // row r, head h at q + r * q_stride + h * head_dim
  float* out;          // likewise
  size_t q_stride;
  size_t out_stride;
  int32_t rows;
  int32_t group;
  int32_t first_length;  // row r sees positions 0 .. first_length + r - 1
  float scale;           // 1 / sqrt(head_dim)
  KvBlock page_zero;     // of this layer and head
  size_t page_stride;    // bytes from one page's block to the next's
  const int32_t* pages;
  float* scratch;  // attention_scratch floats
};

// What a chunk of pages gave, per (row, head) pair: value_width weighted sums, kVectorFloats partial
// sums of weights, the largest score; kVectorFloats floats are kept for the last.
struct KernelTable {
  const char* isa;
  int32_t gemm_rows;  // activation rows of a packed tile
  int32_t gemm_from;  // matmul_i8 wants packed tiles from that many rows on
  int32_t packed_parts;  // bytes that a packed value takes
  int32_t strip_rows;    // weight rows that matmul_i8 likes to have for one row of x: kStripRows or more

  void (*rms_norm)(const float* x, const float* weight, int32_t n, float eps, float* y);
  // Null, or brings i8 values to the form in which the kernels below want them in memory: once, before
  // their first use. Padding too. Folders that are mapped can't be changed: null for native ISAs.
  void (*place_i8)(int8_t* values, size_t n);
  // Fills q to a multiple of 64 bytes.
  void (*quantize_row)(const float* x, int32_t n, int32_t block, int8_t* q, float* scales,
                       int32_t* offsets);
  // One tile of `rows` <= gemm_rows rows: row_bytes * gemm_rows * packed_parts bytes.
  void (*pack_rows)(const int8_t* q, size_t q_stride, int32_t rows, size_t row_bytes,
                    int8_t* packed);
  size_t (*matmul_i8_scratch)(size_t row_bytes);  // bytes
  void (*matmul_i8)(const MatmulI8& a);
  void (*matmul_float)(const MatmulFloat& a);

  void (*add)(const float* y, int32_t n, float* out);  // out += y
  // out[t][i] += y[t][i] + bias[i]; bias may be null.
  void (*matmul_add)(const float* y, size_t y_stride, const float* bias, int32_t rows, int32_t n,
                     float* out, size_t out_stride);
  void (*gate_up_silu)(const GateUpSilu& a);
  void (*rope)(float* head, const float* cos, const float* sin, int32_t half);
  void (*dequantize_f16)(const uint16_t* x, int32_t n, float* out);
  void (*dequantize_i8)(const int8_t* x, float scale, int32_t n, float* out);  // x is placed

  void (*key_write)(const KvBlock& block, int32_t slot, const float* key);
  void (*value_write)(const KvBlock& block, int32_t slot, const float* value);
  size_t (*attention_scratch)(int32_t pairs, int32_t head_dim);  // floats
  size_t (*attention_record)(int32_t head_dim);                  // floats per pair of a result
  void (*attention_begin)(const Attention& a);                   // once, before chunks
  void (*attention_chunk)(const Attention& a, int32_t chunk, float* result);
  void (*attention_merge)(const Attention& a, const float* later, float* result);
  void (*attention_finish)(const Attention& a, const float* result);
};

}  // namespace lamina::cpu
