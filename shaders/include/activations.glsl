// SPDX-License-Identifier: Apache-2.0
// A row of x made ready by one workgroup: rms_norm, then quantization as core/tensor/quantize.h
// says. The including file gives COLS, ROW_WORDS4, NORM, BLOCK and SHUFFLE, X4(row, word) and NORM4(word)
// that load four columns, and store_word(word, packed), store_scale(block, scale) for i8 or
// store_float4(word, values) else; each thread takes four columns at a time. SPLIT: the row is scaled by a
// power of two so that its largest value lies in [2^13, 2^14), and store_scale(factor to undo it) is called.
//
// NAME(f) tells apart the functions of several inclusions; one inclusion needs neither it nor X4 and NORM4.
// With LATE_FACTOR the row is left without rms_norm's common factor, so that nobody waits for it: products
// take late_factor().

#ifndef ACTIVATIONS
#define ACTIVATIONS
#ifndef NAME
#define NAME(f) f
#define X4(row, word) p.x.v[(row) * (X_STRIDE / 4) + (word)]
#define NORM4(word) p.norm.v[word]
#endif

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

#ifdef LATE_FACTOR
// Of the row whose squares were left in reduce_slots, after a barrier.
float late_factor(uint cols) {
  float sum = 0.0;
  for (uint i = 0; i < gl_NumSubgroups; ++i) sum += reduce_slots[i];
  return 1.0 / sqrt(sum / float(cols) + EPS);
}
#endif

// The columns of a word that there are, of `cols`.
vec4 whole(vec4 v, uint word, uint cols) {
  const uint c = 4 * word;
  if (cols % 4 == 0 || c + 4 <= cols) return v;
  return vec4(c < cols ? v.x : 0.0, c + 1 < cols ? v.y : 0.0, c + 2 < cols ? v.z : 0.0, 0.0);
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
#endif
#endif

const uint NAME(WORDS) = (COLS + 3) / 4;                       // of four columns
const uint NAME(PADDED) = ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4;  // with the padding of a weight row
const uint NAME(EACH) = (NAME(PADDED) + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;

// A thread's words: word i is number thread_index() + i * threads.
void NAME(load_words)(uint row, out vec4 held[NAME(EACH)]) {
  float squares = 0.0;
  vec4 norm[NAME(EACH)];
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) {
    const uint w = thread_index() + i * gl_WorkGroupSize.x;
    held[i] = w < NAME(WORDS) ? whole(X4(row, w), w, COLS) : vec4(0.0);
    if (NORM) norm[i] = w < NAME(WORDS) ? whole(NORM4(w), w, COLS) : vec4(0.0);
  }
  if (!NORM) return;
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) squares += dot(held[i], held[i]);
#ifdef LATE_FACTOR
  squares = subgroupAdd(squares);
  if (gl_SubgroupInvocationID == 0) reduce_slots[gl_SubgroupID] = squares;
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) held[i] = held[i] * norm[i];
#else
  const float factor = 1.0 / sqrt(workgroup_sum(squares) / float(COLS) + EPS);
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) held[i] = held[i] * factor * norm[i];
#endif
}

#ifdef WEIGHT_I8
shared float NAME(word_largest)[SHUFFLE ? 1 : NAME(PADDED)];

// The largest magnitude of a word's block, of which this thread's word has `own`.
float NAME(block_largest)(uint word, float own) {
  if (SHUFFLE) {
    for (uint step = 1; step < BLOCK_WORDS; step *= 2) own = max(own, subgroupShuffleXor(own, step));
    return own;
  }
  float largest = 0.0;
  const uint first = word / BLOCK_WORDS * BLOCK_WORDS;
  for (uint i = first; i < min(first + BLOCK_WORDS, NAME(PADDED)); ++i) largest = max(largest, NAME(word_largest)[i]);
  return largest;
}

void NAME(prepare_row)(uint row) {
  vec4 held[NAME(EACH)];
  NAME(load_words)(row, held);
  if (!SHUFFLE) {
    [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) {
      const uint w = thread_index() + i * gl_WorkGroupSize.x;
      if (w < NAME(PADDED)) NAME(word_largest)[w] = magnitude(held[i]);
    }
    barrier();
  }
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) {
    const uint w = thread_index() + i * gl_WorkGroupSize.x;
    const float largest = NAME(block_largest)(w, magnitude(held[i]));
    const float scale = largest / 127.0;
    const bool tiny = scale < 1.1754944e-38;
    if (w < NAME(PADDED)) store_word(w, tiny ? 0u : pack_bytes(held[i] * (127.0 / largest)));
    if (w < NAME(WORDS) && w % BLOCK_WORDS == 0) store_scale(w / BLOCK_WORDS, tiny ? 0.0 : scale);
  }
}
#else
#ifdef SPLIT
shared float largest_slots[64];

// The power of two that brings the row's largest value into [2^13, 2^14); 1 for a row of zeros.
float split_factor(vec4 held[NAME(EACH)]) {
  float largest = 0.0;
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) largest = max(largest, magnitude(held[i]));
  largest = subgroupMax(largest);
  if (gl_SubgroupInvocationID == 0) largest_slots[gl_SubgroupID] = largest;
  barrier();
  for (uint i = 0; i < gl_NumSubgroups; ++i) largest = max(largest, largest_slots[i]);
  int exponent;
  frexp(largest, exponent);
  return largest > 0.0 ? ldexp(1.0, clamp(14 - exponent, -100, 100)) : 1.0;
}
#endif

void NAME(prepare_row)(uint row) {
  vec4 held[NAME(EACH)];
  NAME(load_words)(row, held);
#ifdef SPLIT
  const float factor = split_factor(held);
  if (thread_index() == 0) store_scale(1.0 / factor);
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) held[i] *= factor;
#endif
  [[unroll]] for (uint i = 0; i < NAME(EACH); ++i) {
    const uint w = thread_index() + i * gl_WorkGroupSize.x;
    if (w < NAME(PADDED)) store_float4(w, held[i]);
  }
}
#endif
