// SPDX-License-Identifier: Apache-2.0
// dot4(a, b, acc): acc + the dot product of the four signed bytes of a and of b.
#ifdef INT_DOT
// OpSDot of SPV_KHR_integer_dot_product on packed words (Debian's glslang has no GLSL name for it).
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = 4450)
int packed_dot(uint a, uint b, spirv_literal int format);
int dot4(uint a, uint b, int acc) { return acc + packed_dot(a, b, 0); }
#else
int dot4(uint a, uint b, int acc) {
  ivec4 x = ivec4(int(a << 24), int(a << 16), int(a << 8), int(a)) >> 24;
  ivec4 y = ivec4(int(b << 24), int(b << 16), int(b << 8), int(b)) >> 24;
  x *= y;
  return acc + x.x + x.y + x.z + x.w;
}
#endif
int dot16(uvec4 a, uvec4 b) {
  return dot4(a.w, b.w, dot4(a.z, b.z, dot4(a.y, b.y, dot4(a.x, b.x, 0))));
}
