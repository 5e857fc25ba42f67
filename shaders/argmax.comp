#version 460
// SPDX-License-Identifier: Apache-2.0
// The most likely token of a step's one row becomes the next step's row: the first of the largest
// logits, the next position, the next row of rope. One workgroup.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 9) const uint N_OUT = 1;

layout(push_constant, scalar) uniform Push {
  Floats logits;
  Heads head;   // step counts within a submission
  Rows rows;
  Uints tokens;  // [steps]
} p;

#include "next_step.glsl"

shared float best_value[gl_WorkGroupSize.x / SUBGROUP];
shared uint best_index[gl_WorkGroupSize.x / SUBGROUP];

void main() {
  float value = -1.0 / 0.0;
  uint index = 0xffffffffu;
  for (uint i = thread_index(); i < N_OUT; i += gl_WorkGroupSize.x) {
    const float v = p.logits.v[i];
    if (v > value || index == 0xffffffffu) {
      value = v;
      index = i;
    }
  }
  // Within the subgroup, then between subgroups: larger value, then lower index.
  const float most = subgroupMax(value);
  index = subgroupMin(value == most ? index : 0xffffffffu);
  if (subgroupElect()) {
    best_value[gl_SubgroupID] = most;
    best_index[gl_SubgroupID] = index;
  }
  barrier();
  if (thread_index() != 0) return;
  for (uint i = 1; i < gl_NumSubgroups; ++i) {
    const bool better = best_value[i] > best_value[0] ||
                        (best_value[i] == best_value[0] && best_index[i] < best_index[0]);
    if (better) {
      best_value[0] = best_value[i];
      best_index[0] = best_index[i];
    }
  }
  next_step(min(best_index[0], N_OUT - 1));
}
