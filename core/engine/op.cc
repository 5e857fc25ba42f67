// SPDX-License-Identifier: Apache-2.0
#include "core/engine/op.h"

namespace lamina {

std::string_view op_name(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbed: return "embed";
    case OpKind::kRmsNorm: return "rms_norm";
    case OpKind::kQkvRope: return "qkv_rope";
    case OpKind::kAttention: return "attention";
    case OpKind::kMatmulAdd: return "matmul_add";
    case OpKind::kGateUpSilu: return "gate_up_silu";
    case OpKind::kLogits: return "logits";
  }
  return "?";
}

std::string_view buffer_name(Buffer buffer) {
  switch (buffer) {
    case Buffer::kHidden: return "hidden";
    case Buffer::kNormed: return "normed";
    case Buffer::kQuery: return "query";
    case Buffer::kMixed: return "mixed";
    case Buffer::kGated: return "gated";
    case Buffer::kLogits: return "logits";
    case Buffer::kNone: return "-";
  }
  return "?";
}

}  // namespace lamina
