// SPDX-License-Identifier: Apache-2.0
// All kernels over the vocabulary included before, and their table. To be included inside
// namespace lamina::cpu.

#include "backends/cpu/kernels/exp.inl"
#include "backends/cpu/kernels/sums.inl"
//
#include "backends/cpu/kernels/attention.inl"
#include "backends/cpu/kernels/embed.inl"
#include "backends/cpu/kernels/gate_up_silu.inl"
#include "backends/cpu/kernels/matmul_add.inl"
#include "backends/cpu/kernels/matmul_float.inl"
#include "backends/cpu/kernels/matmul_i8.inl"
#include "backends/cpu/kernels/qkv_rope.inl"
#include "backends/cpu/kernels/quantize.inl"
#include "backends/cpu/kernels/rms_norm.inl"

namespace {

constexpr KernelTable kernel_table(const char* isa) {
  return {
      .isa = isa,
      .gemm_rows = kGemmRows,
      .gemm_from = kGemmFrom,
      .packed_parts = kPanelParts,
      .strip_rows = kGemvAcross ? 4 * kStripRows : kStripRows,
      .rms_norm = rms_norm,
      .place_i8 = kPlacedWeights ? place_i8 : nullptr,
      .quantize_row = quantize_row,
      .pack_rows = pack_rows,
      .matmul_i8_scratch = matmul_i8_scratch,
      .matmul_i8 = matmul_i8,
      .matmul_float = matmul_float,
      .add = add,
      .matmul_add = matmul_add,
      .gate_up_silu = gate_up_silu,
      .rope = rope,
      .dequantize_f16 = dequantize_f16,
      .dequantize_i8 = dequantize_i8,
      .key_write = key_write,
      .value_write = value_write,
      .attention_scratch = attention_scratch,
      .attention_record = attention_record,
      .attention_begin = attention_begin,
      .attention_chunk = attention_chunk,
      .attention_merge = attention_merge,
      .attention_finish = attention_finish,
  };
}

}  // namespace
