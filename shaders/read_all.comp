#version 460
// SPDX-License-Identifier: Apache-2.0
// Reads `words` 16-byte words and does as little with them as a compiler allows: the device's read
// bandwidth. No op of a model.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, scalar) uniform Push {
  Uvec4s from;
  Uints to;  // written only if all that a thread reads is one unlikely value
  uint words;
} p;

const uint IN_FLIGHT = 8;

void main() {
  const uint stride = gl_NumWorkGroups.x * gl_WorkGroupSize.x;
  uvec4 seen = uvec4(0);
  for (uint i = gl_WorkGroupID.x * gl_WorkGroupSize.x + thread_index(); i < p.words; i += IN_FLIGHT * stride) {
    uvec4 v[IN_FLIGHT];
    [[unroll]] for (uint k = 0; k < IN_FLIGHT; ++k) v[k] = p.from.v[min(i + k * stride, p.words - 1)];
    [[unroll]] for (uint k = 0; k < IN_FLIGHT; ++k) seen |= v[k];
  }
  if (seen == uvec4(0x9e3779b9)) p.to.v[0] = 1;
}
