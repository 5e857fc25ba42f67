// SPDX-License-Identifier: Apache-2.0
// Attention with an online softmax (Milakov and Gimelshein, 2018), page by page. Pair p is row
// p / group, head p % group. Scores lie with positions in lanes, so a score is one fma chain over
// the head's dimensions and an output one over positions, whatever the tile: a row's result does
// not depend on the rows beside it, nor on who computes which chunk.
//
// Scores are kept in powers of two: q is scaled by log2(e) / sqrt(head_dim).

namespace {

constexpr float kNoScore = -1e30f;

// Pairs are taken kPairTile at a time, then by halves: so many vectors each, kAttentionSums in all.
constexpr int kAttentionSums = kPairTile * kPairVecs;
template <int P>
constexpr int kTileVecs = kAttentionSums / P < 4 ? kAttentionSums / P : 4;

struct AttentionScratch {
  float* q;           // tile by tile [head_dim][pairs of the tile], scaled
  float* scores;      // [pairs][64]
  float* correction;  // [pairs]
  float* keys;        // [head_dim][64]
  float* values;      // [64][value_width]
};

LAMINA_INLINE int value_floats(int head_dim) {
  return (head_dim + kVectorFloats - 1) / kVectorFloats * kVectorFloats;
}

size_t attention_record(int32_t head_dim) {
  return static_cast<size_t>(value_floats(head_dim) + 2 * kVectorFloats);
}

size_t attention_scratch(int32_t pairs, int32_t head_dim) {
  const int floats = pairs * (head_dim + kPagePositions + 1) +
                     (head_dim + value_floats(head_dim)) * kPagePositions;
  return static_cast<size_t>(floats) + 5 * kVectorFloats;
}

LAMINA_INLINE float* aligned_floats(float*& next, int n) {
  float* p = next;
  next += (n + kVectorFloats - 1) / kVectorFloats * kVectorFloats;
  return p;
}

LAMINA_INLINE AttentionScratch attention_scratch_parts(const Attention& a) {
  const int pairs = a.rows * a.group;
  float* next = a.scratch;
  AttentionScratch s;
  s.q = aligned_floats(next, pairs * a.page_zero.head_dim);
  s.scores = aligned_floats(next, pairs * kPagePositions);
  s.correction = aligned_floats(next, pairs);
  s.keys = aligned_floats(next, a.page_zero.head_dim * kPagePositions);
  s.values = aligned_floats(next, a.page_zero.value_width * kPagePositions);
  return s;
}

// f(first pair, Index<pairs>) for each tile.
template <int P, typename F>
LAMINA_INLINE void each_tile(int first, int pairs, const F& f) {
  for (; first + P <= pairs; first += P) f(first, Index<P>{});
  if constexpr (P > 1) each_tile<P / 2>(first, pairs, f);
}

void attention_begin(const Attention& a) {
  const AttentionScratch s = attention_scratch_parts(a);
  const int d = a.page_zero.head_dim;
  const float scale = a.scale * 0x1.715476p+0f;
  each_tile<kPairTile>(0, a.rows * a.group, [&](int first, auto tile) LAMINA_LAMBDA {
    const float* from[tile];
    for (int p = 0; p < tile; ++p) {
      const int row = (first + p) / a.group, head = (first + p) % a.group;
      from[p] = a.q + static_cast<size_t>(row) * a.q_stride + head * d;
    }
    float* to = s.q + first * d;
    for (int i = 0; i < d; ++i) {
      for (int p = 0; p < tile; ++p) *to++ = from[p][i] * scale;
    }
  });
}

LAMINA_INLINE F32 page_lanes(const float* p) { return f32_load(p); }
LAMINA_INLINE F32 page_lanes(const uint16_t* p) { return f32_load_f16(p); }
LAMINA_INLINE F32 page_lanes(const int8_t* p) { return f32_load_i8(p); }

// scores[P][V * kLanes] of rows of 64 = q[d][P] . keys[d][64]; `next` is memory to be read soon.
template <int P, int V, typename K>
LAMINA_NOINLINE void score_tile(const float* q, const K* keys, int d, float* scores,
                              const char* next) {
  F32 sums[P * V];
  each<P * V>([&](auto i) LAMINA_LAMBDA { sums[i] = f32_zero(); });
  for (int i = 0; i < d; ++i, q += P, keys += kPagePositions) {
    prefetch(next + i * 64);
    F32 k[V];
    each<V>([&](auto v) LAMINA_LAMBDA { k[v] = page_lanes(keys + v * kLanes); });
    each<P>([&](auto p) LAMINA_LAMBDA {
      const F32 each_q = f32_set(q[p]);
      each<V>([&](auto v) LAMINA_LAMBDA { sums[p * V + v] = f32_fma(each_q, k[v], sums[p * V + v]); });
    });
  }
  each<P * V>([&](auto i) LAMINA_LAMBDA {
    constexpr int p = i / V, v = i % V;
    f32_store(scores + p * kPagePositions + v * kLanes, sums[i]);
  });
}

// Turns a pair's scores of a page, of which n count, into weights; scales of i8 keys and values may
// be null. Updates sum[kSumLanes] and largest; returns what earlier sums must be multiplied by.
LAMINA_NOINLINE float page_softmax(float* scores, int n, const float* key_scales,
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
  const F32 correction = f32_exp2(f32_set(before - now));
  F32 total[kSumVecs];
  each<kSumVecs>([&](auto i) LAMINA_LAMBDA {
    total[i] = f32_mul(f32_load(sum + i * kLanes), correction);
  });
  for (int v = 0; v < kVecs; v += kSumVecs) {
    each<kSumVecs>([&](auto i) LAMINA_LAMBDA {
      const int at = (v + i) * kLanes;
      const F32 weight = f32_exp2(f32_sub(f32_load(scores + at), f32_set(now)));
      total[i] = f32_add(total[i], weight);
      f32_store(scores + at, value_scales ? f32_mul(weight, f32_load(value_scales + at)) : weight);
    });
  }
  for (int i = n; i < kPagePositions; ++i) scores[i] = 0.0f;
  each<kSumVecs>([&](auto i) LAMINA_LAMBDA { f32_store(sum + i * kLanes, total[i]); });
  return f32_first(correction);
}

// out[P][V * kLanes] = out * correction + weights[P][64] . values, over n positions.
template <int P, int V, typename T>
LAMINA_NOINLINE void value_tile(const float* weights, const float* correction, const T* values,
                              size_t value_width, int n, float* out, size_t record,
                              const char* next) {
  F32 sums[P * V];
  each<P * V>([&](auto i) LAMINA_LAMBDA {
    constexpr int p = i / V, v = i % V;
    sums[i] = f32_mul(f32_load(out + p * record + v * kLanes), f32_set(correction[p]));
  });
  for (int i = 0; i < n; ++i, values += value_width) {
    prefetch(next + i * 64);
    F32 row[V];
    each<V>([&](auto v) LAMINA_LAMBDA { row[v] = page_lanes(values + v * kLanes); });
    each<P>([&](auto p) LAMINA_LAMBDA {
      const F32 weight = f32_set(weights[p * kPagePositions + i]);
      each<V>([&](auto v) LAMINA_LAMBDA {
        sums[p * V + v] = f32_fma(weight, row[v], sums[p * V + v]);
      });
    });
  }
  each<P * V>([&](auto i) LAMINA_LAMBDA {
    constexpr int p = i / V, v = i % V;
    f32_store(out + p * record + v * kLanes, sums[i]);
  });
}

// A page of one layer and kv head, and the one after it.
struct PageView {
  const char* keys;
  const char* values;
  const char* next_keys;
  const char* next_values;
  const float* scales;  // of 64 keys, then 64 values; null unless i8
  int seen;             // positions of the page that row 0 sees; may be negative or beyond 64
};

LAMINA_INLINE PageView page_view(const Attention& a, int page, int n_pages) {
  const KvBlock& b = a.page_zero;
  const size_t element = b.format == KvFormat::kF32 ? 4 : b.format == KvFormat::kF16 ? 2 : 1;
  const size_t keys_bytes = static_cast<size_t>(b.head_dim * kPagePositions) * element;
  const size_t values_bytes = static_cast<size_t>(b.value_width * kPagePositions) * element;
  const char* zero = static_cast<const char*>(b.data);
  PageView view;
  view.keys = zero + static_cast<size_t>(a.pages[page]) * a.page_stride;
  view.values = view.keys + keys_bytes;
  const int next = page + 1 < n_pages ? page + 1 : page;
  view.next_keys = zero + static_cast<size_t>(a.pages[next]) * a.page_stride;
  view.next_values = view.next_keys + keys_bytes;
  const void* scales = view.values + values_bytes;
  view.scales = b.format == KvFormat::kI8 ? static_cast<const float*>(scales) : nullptr;
  view.seen = a.first_length - page * kPagePositions;
  return view;
}

// One page with keys and values of type T, as they lie or made floats before.
template <typename T>
LAMINA_INLINE void attention_page(const Attention& a, const AttentionScratch& s,
                                  const PageView& view, const T* keys, const T* values,
                                  float* result) {
  const int d = a.page_zero.head_dim, width = a.page_zero.value_width, pairs = a.rows * a.group;
  const size_t record = attention_record(d);
  const int last = view.seen + a.rows - 1;
  const int n = last < kPagePositions ? last : kPagePositions;  // positions that any row sees
  each_tile<kPairTile>(0, pairs, [&](int p, auto tile) LAMINA_LAMBDA {
    constexpr int kVecs = kTileVecs<tile>;
    for (int i = 0; i < n; i += kVecs * kLanes) {
      score_tile<tile, kVecs>(s.q + p * d, keys + i, d, s.scores + p * kPagePositions + i,
                              view.next_keys + i / (kVecs * kLanes) * d * 64);
    }
  });
  for (int p = 0; p < pairs; ++p) {
    float* state = result + static_cast<size_t>(p) * record + width;
    const int sees = view.seen + p / a.group;
    s.correction[p] =
        page_softmax(s.scores + p * kPagePositions, sees < kPagePositions ? sees : kPagePositions,
                     view.scales, view.scales ? view.scales + kPagePositions : nullptr, state,
                     state + kVectorFloats);
  }
  each_tile<kPairTile>(0, pairs, [&](int p, auto tile) LAMINA_LAMBDA {
    constexpr int kVecs = kTileVecs<tile>;
    const float* weights = s.scores + p * kPagePositions;
    float* out = result + static_cast<size_t>(p) * record;
    const auto stride = static_cast<size_t>(width);
    int i = 0;
    for (; i + kVecs * kLanes <= width; i += kVecs * kLanes) {
      value_tile<tile, kVecs>(weights, s.correction + p, values + i, stride, n, out + i, record,
                              view.next_values + i / (kVecs * kLanes) * kPagePositions * 64);
    }
    for (; i < width; i += kLanes) {
      value_tile<tile, 1>(weights, s.correction + p, values + i, stride, n, out + i, record,
                          view.next_values);
    }
  });
}

template <typename T>
LAMINA_INLINE void page_floats(const T* from, int n, float* to) {
  for (int i = 0; i < n; i += kLanes) f32_store(to + i, page_lanes(from + i));
}

template <typename T>
LAMINA_INLINE void attention_page_of(const Attention& a, const AttentionScratch& s,
                                     const PageView& view, float* result) {
  const T* keys = static_cast<const T*>(static_cast<const void*>(view.keys));
  const T* values = static_cast<const T*>(static_cast<const void*>(view.values));
  if (a.rows * a.group <= kPairTile || sizeof(T) == sizeof(float)) {
    return attention_page(a, s, view, keys, values, result);
  }
  page_floats(keys, a.page_zero.head_dim * kPagePositions, s.keys);
  page_floats(values, a.page_zero.value_width * kPagePositions, s.values);
  attention_page<float>(a, s, view, s.keys, s.values, result);
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
  for (int page = chunk * kChunkPages; page < end; ++page) {
    const PageView view = page_view(a, page, pages);
    switch (a.page_zero.format) {
      case KvFormat::kF16: attention_page_of<uint16_t>(a, s, view, result); break;
      case KvFormat::kF32: attention_page_of<float>(a, s, view, result); break;
      case KvFormat::kI8: attention_page_of<int8_t>(a, s, view, result); break;
    }
  }
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
    F32 weights[kSumVecs];
    each<kSumVecs>([&](auto i) LAMINA_LAMBDA {
      weights[i] = f32_load(result + a.page_zero.value_width + i * kLanes);
    });
    const F32 inverse = f32_set(1.0f / sum_lanes(weights));
    for (int i = 0; i < d; i += kLanes) {
      f32_store_n(out + i, f32_mul(f32_load(result + i), inverse), d - i);
    }
  }
}

}  // namespace
