// SPDX-License-Identifier: Apache-2.0
// The operations of a graph. An operation's name is the name of its kernel, shaders, test and
// bench.
#pragma once

#include <cstdint>
#include <string_view>

namespace lamina {

enum class OpKind : uint8_t {
  kEmbed,      // out[r] = dequantized row `token` of weight
  kRmsNorm,    // out[r][c] = in[r][c] / sqrt(mean(in[r]^2) + eps) * weight[c], sums in f32
  kQkvRope,    // in x weight + bias = q | k | v; RoPE on q and k; out = q; k and v to the KV cache
  kAttention,  // out = softmax(q K^T / sqrt(head_dim)) V over the sequence's pages, causal
  kMatmulAdd,  // out += in x weight + bias
  kGateUpSilu, // gate | up = in x weight + bias; out = gate / (1 + e^-gate) * up
  kLogits,     // logits[s] = in x weight, only for rows that want logits
};
constexpr int kOpKinds = 7;

std::string_view op_name(OpKind kind);  // "embed" "rms_norm" "qkv_rope" "attention" ...

// Activations of one row, all f32. Two rows never alias.
enum class Buffer : uint8_t {
  kHidden,  // [hidden] the residual stream
  kNormed,  // [hidden]
  kQuery,   // [n_heads * head_dim]
  kMixed,   // [n_heads * head_dim] attention's output
  kGated,   // [intermediate]
  kLogits,  // [vocab]
  kNone,
};
constexpr int kBuffers = 6;

std::string_view buffer_name(Buffer buffer);

struct Op {
  OpKind kind;
  int16_t layer = -1;
  Buffer in = Buffer::kNone;
  Buffer out = Buffer::kNone;
  int16_t weight = -1;  // index into Graph::weights
  int16_t bias = -1;    // likewise, -1 without bias
  bool selected_rows = false;  // work only on rows that want logits, packed together in `out`
};

}  // namespace lamina
