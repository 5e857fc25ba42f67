// SPDX-License-Identifier: Apache-2.0
// Attention with an online softmax (Milakov and Gimelshein, 2018), page by page. Pair p is row
// p / group, head p % group. Scores lie with positions in lanes, so a score is one fma chain over
// the head's dimensions and an output one over positions, whatever the tile: a row's result does
// not depend on the rows beside it, nor on who computes which chunk.
//
// Scores are kept in powers of two: q is scaled by log2(e) / sqrt(head_dim).

namespace {

constexpr float kNoScore = -1e30f;

struct AttentionScratch {
  float* q;           // [tiles][head_dim][kPairTile], scaled
  float* scores;      // [pairs][64]
  float* correction;  // [pairs]
  float* keys;        // [head_dim][64]
  float* values;      // [64][value_width]
};

LAMINA_INLINE int pair_tiles(int pairs) { return (pairs + kPairTile - 1) / kPairTile; }

LAMINA_INLINE int value_floats(int head_dim) {
  return (head_dim + kVectorFloats - 1) / kVectorFloats * kVectorFloats;
}

size_t attention_record(int32_t head_dim) {
  return static_cast<size_t>(value_floats(head_dim) + 2 * kVectorFloats);
}

size_t attention_scratch(int32_t pairs, int32_t head_dim) {
  const int padded = pair_tiles(pairs) * kPairTile;
  const int floats = padded * (head_dim + kPagePositions + 1) +
                     (head_dim + value_floats(head_dim)) * kPagePositions;
  return static_cast<size_t>(floats) + 5 * kVectorFloats;
}

LAMINA_INLINE float* aligned_floats(float*& next, int n) {
  float* p = next;
  next += (n + kVectorFloats - 1) / kVectorFloats * kVectorFloats;
  return p;
}

LAMINA_INLINE AttentionScratch attention_scratch_parts(const Attention& a) {
  const int padded = pair_tiles(a.rows * a.group) * kPairTile;
  float* next = a.scratch;
  AttentionScratch s;
  s.q = aligned_floats(next, padded * a.page_zero.head_dim);
  s.scores = aligned_floats(next, padded * kPagePositions);
  s.correction = aligned_floats(next, padded);
  s.keys = aligned_floats(next, a.page_zero.head_dim * kPagePositions);
  s.values = aligned_floats(next, a.page_zero.value_width * kPagePositions);
  return s;
}

void attention_begin(const Attention& a) {
  const AttentionScratch s = attention_scratch_parts(a);
  const int pairs = a.rows * a.group, d = a.page_zero.head_dim;
  const float scale = a.scale * 0x1.715476p+0f;
  for (int p = 0; p < pair_tiles(pairs) * kPairTile; ++p) {
    const int from = p < pairs ? p : 0;
    const float* q =
        a.q + static_cast<size_t>(from / a.group) * a.q_stride + (from % a.group) * d;
    float* to = s.q + p / kPairTile * d * kPairTile + p % kPairTile;
    for (int i = 0; i < d; ++i) to[i * kPairTile] = q[i] * scale;
  }
}

LAMINA_INLINE const float* page_floats(KvFormat format, const void* data, int n, float* scratch) {
  if (format == KvFormat::kF32) return static_cast<const float*>(data);
  if (format == KvFormat::kF16) {
    const uint16_t* p = static_cast<const uint16_t*>(data);
    for (int i = 0; i < n; i += kLanes) f32_store(scratch + i, f32_load_f16(p + i));
  } else {
    const int8_t* p = static_cast<const int8_t*>(data);
    for (int i = 0; i < n; i += kLanes) f32_store(scratch + i, f32_load_i8(p + i));
  }
  return scratch;
}

// scores[kPairTile][kPositionVecs * kLanes] of 64 = q . keys
LAMINA_INLINE void score_tile(const float* q, const float* keys, int d, float* scores) {
  F32 sums[kPairTile * kPositionVecs];
  each<kPairTile * kPositionVecs>([&](auto i) LAMINA_LAMBDA { sums[i] = f32_zero(); });
  for (int i = 0; i < d; ++i, q += kPairTile, keys += kPagePositions) {
    F32 k[kPositionVecs];
    each<kPositionVecs>([&](auto v) LAMINA_LAMBDA { k[v] = f32_load(keys + v * kLanes); });
    each<kPairTile>([&](auto p) LAMINA_LAMBDA {
      const F32 each_q = f32_set(q[p]);
      each<kPositionVecs>([&](auto v) LAMINA_LAMBDA {
        F32& sum = sums[p * kPositionVecs + v];
        sum = f32_fma(each_q, k[v], sum);
      });
    });
  }
  each<kPairTile * kPositionVecs>([&](auto i) LAMINA_LAMBDA {
    f32_store(scores + i / kPositionVecs * kPagePositions + i % kPositionVecs * kLanes, sums[i]);
  });
}

// Turns a pair's scores of a page, of which n count, into weights; scales of i8 keys and values may
// be null. Updates sum[kLanes] and largest; returns what earlier sums must be multiplied by.
LAMINA_INLINE float page_softmax(float* scores, int n, const float* key_scales,
                                 const float* value_scales, float* sum, float* largest) {
  constexpr int kVecs = kPagePositions / kLanes;
  if (n <= 0) {
    for (int i = 0; i < kPagePositions; i += kLanes) f32_store(scores + i, f32_zero());
    return 1.0f;
  }
  if (key_scales) {
    for (int i = 0; i < kPagePositions; i += kLanes) {
      f32_store(scores + i, f32_mul(f32_load(scores + i), f32_load(key_scales + i)));
    }
  }
  for (int i = n; i < kPagePositions; ++i) scores[i] = kNoScore;
  F32 top = f32_load(scores);
  for (int v = 1; v < kVecs; ++v) top = f32_max(top, f32_load(scores + v * kLanes));
  const float page_top = f32_largest(top);
  const float before = *largest;
  const float now = page_top > before ? page_top : before;
  *largest = now;
  float correction[kLanes];
  f32_store(correction, f32_exp2(f32_set(before - now)));
  F32 total = f32_mul(f32_load(sum), f32_load(correction));
  for (int v = 0; v < kVecs; ++v) {
    const F32 weight = f32_exp2(f32_sub(f32_load(scores + v * kLanes), f32_set(now)));
    total = f32_add(total, weight);
    const F32 scaled = value_scales ? f32_mul(weight, f32_load(value_scales + v * kLanes)) : weight;
    f32_store(scores + v * kLanes, scaled);
  }
  for (int i = n; i < kPagePositions; ++i) scores[i] = 0.0f;
  f32_store(sum, total);
  return correction[0];
}

// out[P pairs][V vectors] = out * correction + weights . values, over n positions.
template <int P, int V>
LAMINA_INLINE void value_tile(const float* weights, const float* correction, const float* values,
                              size_t value_width, int n, float* out, size_t record) {
  F32 sums[P * V];
  each<P * V>([&](auto i) LAMINA_LAMBDA {
    constexpr int p = i / V, v = i % V;
    sums[i] = f32_mul(f32_load(out + p * record + v * kLanes), f32_set(correction[p]));
  });
  for (int i = 0; i < n; ++i, values += value_width) {
    F32 row[V];
    each<V>([&](auto v) LAMINA_LAMBDA { row[v] = f32_load(values + v * kLanes); });
    each<P>([&](auto p) LAMINA_LAMBDA {
      const F32 weight = f32_set(weights[p * kPagePositions + i]);
      each<V>([&](auto v) LAMINA_LAMBDA { sums[p * V + v] = f32_fma(weight, row[v], sums[p * V + v]); });
    });
  }
  each<P * V>([&](auto i) LAMINA_LAMBDA {
    constexpr int p = i / V, v = i % V;
    f32_store(out + p * record + v * kLanes, sums[i]);
  });
}

template <int P>
LAMINA_INLINE void value_rows(const float* weights, const float* correction, const float* values,
                              int value_width, int n, float* out, size_t record) {
  const auto width = static_cast<size_t>(value_width);
  int i = 0;
  for (; i + kValueVecs * kLanes <= value_width; i += kValueVecs * kLanes) {
    value_tile<P, kValueVecs>(weights, correction, values + i, width, n, out + i, record);
  }
  for (; i < value_width; i += kLanes) {
    value_tile<P, 1>(weights, correction, values + i, width, n, out + i, record);
  }
}

LAMINA_INLINE void attention_page(const Attention& a, const AttentionScratch& s, int page,
                                  float* result) {
  const int d = a.page_zero.head_dim, width = a.page_zero.value_width;
  const int pairs = a.rows * a.group;
  const size_t record = attention_record(d);
  const KvFormat format = a.page_zero.format;
  const size_t element = format == KvFormat::kF32 ? 4 : format == KvFormat::kF16 ? 2 : 1;
  const char* block = static_cast<const char*>(a.page_zero.data) +
                      static_cast<size_t>(a.pages[page]) * a.page_stride;
  const char* values_at = block + static_cast<size_t>(d * kPagePositions) * element;
  const void* scales_at = values_at + static_cast<size_t>(width * kPagePositions) * element;
  const float* scales = format == KvFormat::kI8 ? static_cast<const float*>(scales_at) : nullptr;

  const float* keys = page_floats(format, block, d * kPagePositions, s.keys);
  for (int p = 0; p < pairs; p += kPairTile) {
    for (int i = 0; i < kPagePositions; i += kPositionVecs * kLanes) {
      score_tile(s.q + p * d, keys + i, d, s.scores + p * kPagePositions + i);
    }
  }
  const int seen = a.first_length - page * kPagePositions;  // by row 0, may be negative
  for (int p = 0; p < pairs; ++p) {
    float* state = result + static_cast<size_t>(p) * record + width;
    const int row_sees = seen + p / a.group;
    s.correction[p] = page_softmax(s.scores + p * kPagePositions,
                                   row_sees < kPagePositions ? row_sees : kPagePositions, scales,
                                   scales ? scales + kPagePositions : nullptr, state,
                                   state + kVectorFloats);
  }
  const float* values = page_floats(format, values_at, width * kPagePositions, s.values);
  const int last = seen + a.rows - 1;
  const int n = last < kPagePositions ? last : kPagePositions;
  int p = 0;
  for (; p + kPairTile <= pairs; p += kPairTile) {
    value_rows<kPairTile>(s.scores + p * kPagePositions, s.correction + p, values, width, n,
                          result + static_cast<size_t>(p) * record, record);
  }
  for (; p < pairs; ++p) {
    value_rows<1>(s.scores + p * kPagePositions, s.correction + p, values, width, n,
                  result + static_cast<size_t>(p) * record, record);
  }
}

void attention_chunk(const Attention& a, int32_t chunk, float* result) {
  const AttentionScratch s = attention_scratch_parts(a);
  const size_t record = attention_record(a.page_zero.head_dim);
  for (int p = 0; p < a.rows * a.group; ++p) {
    float* to = result + static_cast<size_t>(p) * record;
    for (size_t i = 0; i < record; ++i) to[i] = 0.0f;
    to[record - kVectorFloats] = kNoScore;
  }
  const int length = a.first_length + a.rows - 1;
  const int pages = (length + kPagePositions - 1) / kPagePositions;
  const int end = (chunk + 1) * kChunkPages < pages ? (chunk + 1) * kChunkPages : pages;
  for (int page = chunk * kChunkPages; page < end; ++page) attention_page(a, s, page, result);
}

void attention_merge(const Attention& a, const float* later, float* result) {
  const size_t record = attention_record(a.page_zero.head_dim);
  const auto largest_at = record - kVectorFloats;
  for (int p = 0; p < a.rows * a.group; ++p, later += record, result += record) {
    const float x = result[largest_at], y = later[largest_at];
    const float now = x > y ? x : y;
    const F32 keep = f32_exp2(f32_set(x - now)), take = f32_exp2(f32_set(y - now));
    for (size_t i = 0; i < largest_at; i += kLanes) {
      const F32 sum = f32_mul(f32_load(result + i), keep);
      f32_store(result + i, f32_fma(f32_load(later + i), take, sum));
    }
    result[largest_at] = now;
  }
}

void attention_finish(const Attention& a, const float* result) {
  const int d = a.page_zero.head_dim;
  const size_t record = attention_record(d);
  for (int p = 0; p < a.rows * a.group; ++p, result += record) {
    float* out = a.out + static_cast<size_t>(p / a.group) * a.out_stride + p % a.group * d;
    const F32 inverse =
        f32_set(1.0f / f32_sum(f32_load(result + a.page_zero.value_width)));
    for (int i = 0; i < d; i += kLanes) {
      f32_store_n(out + i, f32_mul(f32_load(result + i), inverse), d - i);
    }
  }
}

}  // namespace
