// SPDX-License-Identifier: Apache-2.0
// A row of x made ready by one workgroup: rms_norm, then quantization as core/tensor/quantize.h
// says. The including file gives store_word(word, packed), store_scale(block, scale) for i8 or
// store_float4(word, values) else; each thread takes four columns at a time. SPLIT: the row is scaled by a
// power of two so that its largest value lies in [2^13, 2^14), and store_scale(factor to undo it) is called.

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

vec4 norm_word(uint word) {
  const vec4 v = p.norm.v[word];
  const uint c = 4 * word;
  if (COLS % 4 == 0 || c + 4 <= COLS) return v;
  return vec4(c < COLS ? v.x : 0.0, c + 1 < COLS ? v.y : 0.0, c + 2 < COLS ? v.z : 0.0, 0.0);
}

const uint WORDS = (COLS + 3) / 4;                           // of four columns
const uint PADDED = ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4;      // with the padding of a weight row
const uint EACH = (PADDED + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;

// A thread's words: word i is number thread_index() + i * threads.
void load_words(uint row, out vec4 held[EACH]) {
  float squares = 0.0;
  vec4 norm[EACH];
  [[unroll]] for (uint i = 0; i < EACH; ++i) {
    const uint w = thread_index() + i * gl_WorkGroupSize.x;
    held[i] = w < WORDS ? x_word(row, w) : vec4(0.0);
    if (NORM) norm[i] = w < WORDS ? norm_word(w) : vec4(0.0);
  }
  if (!NORM) return;
  [[unroll]] for (uint i = 0; i < EACH; ++i) squares += dot(held[i], held[i]);
  const float factor = 1.0 / sqrt(workgroup_sum(squares) / float(COLS) + EPS);
  [[unroll]] for (uint i = 0; i < EACH; ++i) held[i] = held[i] * factor * norm[i];
}

float magnitude(vec4 v) {
  v = abs(v);
  return max(max(v.x, v.y), max(v.z, v.w));
}

#ifdef WEIGHT_I8
uint pack_bytes(vec4 v) {
  const ivec4 q = ivec4(clamp(roundEven(v), -127.0, 127.0)) & 0xff;
  return uint(q.x | q.y << 8 | q.z << 16 | q.w << 24);
}

const uint BLOCK_WORDS = BLOCK / 4;
shared float word_largest[SHUFFLE ? 1 : PADDED];

// The largest magnitude of a word's block, of which this thread's word has `own`.
float block_largest(uint word, float own) {
  if (SHUFFLE) {
    for (uint step = 1; step < BLOCK_WORDS; step *= 2) own = max(own, subgroupShuffleXor(own, step));
    return own;
  }
  float largest = 0.0;
  const uint first = word / BLOCK_WORDS * BLOCK_WORDS;
  for (uint i = first; i < min(first + BLOCK_WORDS, PADDED); ++i) largest = max(largest, word_largest[i]);
  return largest;
}

void prepare_row(uint row) {
  vec4 held[EACH];
  load_words(row, held);
  if (!SHUFFLE) {
    [[unroll]] for (uint i = 0; i < EACH; ++i) {
      const uint w = thread_index() + i * gl_WorkGroupSize.x;
      if (w < PADDED) word_largest[w] = magnitude(held[i]);
    }
    barrier();
  }
  [[unroll]] for (uint i = 0; i < EACH; ++i) {
    const uint w = thread_index() + i * gl_WorkGroupSize.x;
    const float largest = block_largest(w, magnitude(held[i]));
    const float scale = largest / 127.0;
    const bool tiny = scale < 1.1754944e-38;
    if (w < PADDED) store_word(w, tiny ? 0u : pack_bytes(held[i] * (127.0 / largest)));
    if (w < WORDS && w % BLOCK_WORDS == 0) store_scale(w / BLOCK_WORDS, tiny ? 0.0 : scale);
  }
}
#else
#ifdef SPLIT
shared float largest_slots[64];

// The power of two that brings the row's largest value into [2^13, 2^14); 1 for a row of zeros.
float split_factor(vec4 held[EACH]) {
  float largest = 0.0;
  [[unroll]] for (uint i = 0; i < EACH; ++i) largest = max(largest, magnitude(held[i]));
  largest = subgroupMax(largest);
  if (gl_SubgroupInvocationID == 0) largest_slots[gl_SubgroupID] = largest;
  barrier();
  for (uint i = 0; i < gl_NumSubgroups; ++i) largest = max(largest, largest_slots[i]);
  int exponent;
  frexp(largest, exponent);
  return largest > 0.0 ? ldexp(1.0, clamp(14 - exponent, -100, 100)) : 1.0;
}
#endif

void prepare_row(uint row) {
  vec4 held[EACH];
  load_words(row, held);
#ifdef SPLIT
  const float factor = split_factor(held);
  if (thread_index() == 0) store_scale(1.0 / factor);
  [[unroll]] for (uint i = 0; i < EACH; ++i) held[i] *= factor;
#endif
  [[unroll]] for (uint i = 0; i < EACH; ++i) {
    const uint w = thread_index() + i * gl_WorkGroupSize.x;
    if (w < PADDED) store_float4(w, held[i]);
  }
}
#endif
