// SPDX-License-Identifier: Apache-2.0
// f32 values as two halves, 22 bits together, where they are large enough for halves not to be subnormal. The
// first is cut off, not rounded by a conversion and back, which compilers take for nothing.
void split(vec4 v, out uvec2 high, out uvec2 low) {
  const vec4 cut = uintBitsToFloat(floatBitsToUint(v) & 0xffffe000u);
  v -= cut;
  high = uvec2(packHalf2x16(cut.xy), packHalf2x16(cut.zw));
  low = uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw));
}
