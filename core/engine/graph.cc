// SPDX-License-Identifier: Apache-2.0
#include "core/engine/graph.h"

namespace lamina {

namespace {

std::string weight_text(const GraphWeight& w) {
  std::string text = w.name + " " + std::string(dtype_name(w.shape.dtype));
  if (w.shape.group > 0) text += "/" + std::to_string(w.shape.group);
  return text + "[" + std::to_string(w.shape.rows) + "," + std::to_string(w.shape.cols) + "]";
}

}  // namespace

std::string Graph::to_text() const {
  std::string text;
  for (const Op& op : ops) {
    text += op_name(op.kind);
    if (op.layer >= 0) text += " layer=" + std::to_string(op.layer);
    text += " " + std::string(buffer_name(op.in)) + " -> " + std::string(buffer_name(op.out));
    if (op.weight >= 0) text += " weight=" + weight_text(weights[static_cast<size_t>(op.weight)]);
    if (op.bias >= 0) text += " bias=" + weight_text(weights[static_cast<size_t>(op.bias)]);
    if (op.selected_rows) text += " selected";
    text += '\n';
  }
  return text;
}

}  // namespace lamina
