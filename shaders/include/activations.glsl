// SPDX-License-Identifier: Apache-2.0
// A row of x made ready by one workgroup: rms_norm, then quantization as core/tensor/quantize.h
// says. The including file gives store_word(word, packed), store_scale(block, scale) for i8 or
// store_float4(word, values) else; each thread takes four columns at a time.

shared float reduce_slots[64];

// The sum over the workgroup, in every thread.
float workgroup_sum(float v) {
  v = subgroupAdd(v);
  if (gl_SubgroupInvocationID == 0) reduce_slots[gl_SubgroupID] = v;
  barrier();
  float sum = 0.0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) sum += reduce_slots[i];
  return sum;
}

vec4 x_word(uint row, uint word) {
  vec4 v = p.x.v[row * (X_STRIDE / 4) + word];
  const uint c = 4 * word;
  if (COLS % 4 != 0 && c + 4 > COLS) {
    v = vec4(c < COLS ? v.x : 0.0, c + 1 < COLS ? v.y : 0.0, c + 2 < COLS ? v.z : 0.0, 0.0);
  }
  return v;
}

// 1 / sqrt(mean(x^2) + eps)
float norm_factor(uint row, uint words) {
  float squares = 0.0;
  for (uint w = thread_index(); w < words; w += gl_WorkGroupSize.x) {
    const vec4 v = x_word(row, w);
    squares += dot(v, v);
  }
  return 1.0 / sqrt(workgroup_sum(squares) / float(COLS) + EPS);
}

vec4 norm_word(uint word) {
  const uint c = 4 * word;
  if (COLS % 4 == 0 || c + 4 <= COLS) {
    return vec4(p.norm.v[c], p.norm.v[c + 1], p.norm.v[c + 2], p.norm.v[c + 3]);
  }
  return vec4(c < COLS ? p.norm.v[c] : 0.0, c + 1 < COLS ? p.norm.v[c + 1] : 0.0,
              c + 2 < COLS ? p.norm.v[c + 2] : 0.0, 0.0);
}

vec4 prepared_word(uint row, uint word, float factor) {
  const vec4 v = x_word(row, word);
  return NORM ? v * factor * norm_word(word) : v;
}

#ifdef WEIGHT_I8
uint pack_bytes(vec4 v) {
  const ivec4 q = ivec4(clamp(roundEven(v), -127.0, 127.0)) & 0xff;
  return uint(q.x | q.y << 8 | q.z << 16 | q.w << 24);
}

const uint BLOCK_WORDS = BLOCK / 4;
shared float word_largest[SHUFFLE ? 1 : ROW_WORDS4 * 4];

void quantize_row(uint row) {
  const uint words = (COLS + 3) / 4, padded = ROW_WORDS4 * 4;
  const float factor = NORM ? norm_factor(row, words) : 1.0;
  if (!SHUFFLE) {
    for (uint w = thread_index(); w < padded; w += gl_WorkGroupSize.x) {
      const vec4 v = w < words ? abs(prepared_word(row, w, factor)) : vec4(0.0);
      word_largest[w] = max(max(v.x, v.y), max(v.z, v.w));
    }
    barrier();
  }
  // All threads of a subgroup stay in the loop: they exchange values.
  for (uint base = 0; base < padded; base += gl_WorkGroupSize.x) {
    const uint w = base + thread_index();
    const vec4 v = w < words ? prepared_word(row, w, factor) : vec4(0.0);
    float largest;
    if (SHUFFLE) {
      const vec4 a = abs(v);
      largest = max(max(a.x, a.y), max(a.z, a.w));
      for (uint step = 1; step < BLOCK_WORDS; step *= 2) {
        largest = max(largest, subgroupShuffleXor(largest, step));
      }
    } else {
      largest = 0.0;
      const uint first = w / BLOCK_WORDS * BLOCK_WORDS;
      for (uint i = first; i < min(first + BLOCK_WORDS, padded); ++i) {
        largest = max(largest, word_largest[i]);
      }
    }
    const float scale = largest / 127.0;
    const bool tiny = scale < 1.1754944e-38;
    if (w < padded) store_word(w, tiny ? 0u : pack_bytes(v * (127.0 / largest)));
    if (w < words && w % BLOCK_WORDS == 0) store_scale(w / BLOCK_WORDS, tiny ? 0.0 : scale);
  }
}
#else
void prepare_row(uint row) {
  const uint words = (COLS + 3) / 4, padded = ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4;
  const float factor = NORM ? norm_factor(row, words) : 1.0;
  for (uint w = thread_index(); w < padded; w += gl_WorkGroupSize.x) {
    store_float4(w, w < words ? prepared_word(row, w, factor) : vec4(0.0));
  }
}
#endif
