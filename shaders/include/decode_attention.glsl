// SPDX-License-Identifier: Apache-2.0
// Attention of decode_layers.comp: one row. A workgroup takes HEADS query heads that share a
// key/value head, and one split of the positions; each of its subgroups takes every n-th run of SUBGROUP
// positions by itself (online softmax), without waiting for the others until all are done. Splits are
// merged by whoever reads the result (attention_x4).
//
// LANES threads hold a vector's 16-byte words, so a subgroup loads SIDE vectors at a time, from memory in
// one piece. KV_DIM is a power of two.

const uint LANES = KV_DIM / KV_ELEMENTS;
const uint SIDE = SUBGROUP / LANES;   // vectors side by side
const uint LOADS = LANES;             // that make a run of SUBGROUP positions
// Whether registers hold a run's keys and values together: of int8, queries and sums take more of them.
const bool ALL_AT_ONCE = LOADS <= (KV_TYPE == KV_I8 ? 4 : 8);
const uint VALUE_LOADS = ALL_AT_ONCE ? LOADS : 8;
const uint SUBGROUPS = gl_WorkGroupSize.x / SUBGROUP;
const uint HEAD_GROUPS = N_HEADS / HEADS;
const uint QUADS = KV_ELEMENTS / 4;  // four elements each, of a word

shared float merged[SUBGROUPS * HEADS * KV_DIM];
shared float merged_most[SUBGROUPS * HEADS];
shared float merged_total[SUBGROUPS * HEADS];

uint splits_of(uint positions) {
  return clamp((positions + SPLIT_LEAST - 1) / SPLIT_LEAST, 1, clamp(gl_NumWorkGroups.x / HEAD_GROUPS, 1, MAX_SPLITS));
}

// Whole pages, so that a subgroup's positions lie in one.
uint split_positions(uint positions, uint splits) {
  return ((positions + splits - 1) / splits + PAGE - 1) / PAGE * PAGE;
}

// p.partial: [head][split][HEAD_DIM] sums, then [head][split][2]: the largest score and the sum of weights.
uint partial_at(uint head, uint split) { return (head * MAX_SPLITS + split) * HEAD_DIM; }
uint record_at(uint head, uint split) {
  return N_HEADS * MAX_SPLITS * HEAD_DIM + (head * MAX_SPLITS + split) * 2;
}

vec4 attention_x4(uint word) {
  const uint positions = uint(row.kv_index) + 1, each = split_positions(positions, splits_of(positions));
  if (positions <= each) return p.attended.v[word];
  const uint head = 4 * word / HEAD_DIM, d = 4 * word % HEAD_DIM;
  const uint splits = (positions + each - 1) / each;
  float most = -1e30, total = 0.0;
  vec4 sum = vec4(0.0);
  for (uint first = 0; first < splits; first += 4) {
    vec4 v[4];
    float largest[4], weights[4];
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const uint s = min(first + i, splits - 1);
      largest[i] = p.partial.v[record_at(head, s)];
      weights[i] = first + i < splits ? p.partial.v[record_at(head, s) + 1] : 0.0;
      v[i] = first + i < splits ? SharedVec4s(uint64_t(p.partial)).v[(partial_at(head, s) + d) / 4] : vec4(0.0);
    }
    const float now = max(max(most, max(largest[0], largest[1])), max(largest[2], largest[3]));
    const float factor = exp(most - now);
    total *= factor;
    sum *= factor;
    most = now;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const float e = exp(largest[i] - most);
      total += e * weights[i];
      sum += e * v[i];
    }
  }
  return sum / total;
}

// A 16-byte word as floats.
void unpack(uvec4 word, out vec4 v[4]) {
  if (KV_TYPE == KV_F32) {
    v[0] = uintBitsToFloat(word);
  } else if (KV_TYPE == KV_F16) {
    v[0] = kv_halves(word.xy);
    v[1] = kv_halves(word.zw);
  } else {
    [[unroll]] for (uint i = 0; i < 4; ++i) v[i] = kv_bytes(word[i]);
  }
}

// Words of the run that begins at element `base`, `first` loads into it; zeros from position n on.
void load_run(uint64_t keys, uint base, uint first, uint n, out uvec4 words[LOADS]) {
  [[unroll]] for (uint i = 0; i < VALUE_LOADS; ++i) {
    const bool there = (first + i) * SIDE + gl_SubgroupInvocationID / LANES < n;
    words[i] = there ? SharedUvec4s(keys).v[base / KV_ELEMENTS + (first + i) * SUBGROUP + gl_SubgroupInvocationID]
                     : uvec4(0);
  }
}

// Each thread's LOADS sums over LANES threads: thread i of a vector gets sum number i.
float transpose_sum(inout float s[LOADS]) {
  [[unroll]] for (uint bit = 1; bit < 6; ++bit) {
    const uint half_of = LOADS >> bit;
    if (half_of == 0) break;
    const bool upper = (gl_SubgroupInvocationID & half_of) != 0;
    [[unroll]] for (uint i = 0; i < LOADS / 2; ++i) {
      if (i >= half_of) break;
      const float given = upper ? s[i] : s[i + half_of];
      s[i] = (upper ? s[i + half_of] : s[i]) + subgroupShuffleXor(given, half_of);
    }
  }
  return s[0];
}

// Work of a workgroup: query heads and a share of the positions.
struct Share { uint first_head, kv_head, split, begin, end; };

Share share_of(uint item, uint positions, uint each) {
  const uint head = item % HEAD_GROUPS * HEADS, split = item / HEAD_GROUPS;
  return Share(head, head / (N_HEADS / N_KV_HEADS), split, split * each, min(positions, (split + 1) * each));
}

vec4 query[HEADS * QUADS];  // this thread's elements
vec4 acc[HEADS * QUADS];
float most[HEADS], total[HEADS], weight[HEADS];

void load_query(uint first_head) {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      const uint d = gl_SubgroupInvocationID % LANES * KV_ELEMENTS + 4 * i;
      query[h * QUADS + i] =
          d < HEAD_DIM ? SharedVec4s(uint64_t(p.q)).v[((first_head + h) * HEAD_DIM + d) / 4] * SCALE : vec4(0.0);
    }
  }
}

// weight[h] of this thread's position, of n, from its score.
void soften(float scores[HEADS], bool seen) {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const float s = seen ? scores[h] : -1e30;
    const float now = max(most[h], subgroupMax(s));
    const float factor = exp(most[h] - now);
    weight[h] = seen ? exp(s - now) : 0.0;
    total[h] = total[h] * factor + weight[h];  // of this thread's positions
    most[h] = now;
    [[unroll]] for (uint i = 0; i < QUADS; ++i) acc[h * QUADS + i] *= factor;
  }
}

void add_values(uvec4 words[LOADS], uint first) {
  [[unroll]] for (uint l = 0; l < VALUE_LOADS; ++l) {
    vec4 v[4];
    unpack(words[l], v);
    [[unroll]] for (uint h = 0; h < HEADS; ++h) {
      const float factor = subgroupShuffle(weight[h], gl_SubgroupInvocationID / LANES * LANES + first + l);
      [[unroll]] for (uint i = 0; i < QUADS; ++i) acc[h * QUADS + i] += factor * v[i];
    }
  }
}

// n <= SUBGROUP positions of one page, whose first key is element `base`.
void attend_run(uint64_t keys, uint base, uint n) {
  const uint mine = gl_SubgroupInvocationID % LANES * SIDE + gl_SubgroupInvocationID / LANES;  // position
  uvec4 words[LOADS], values[LOADS];
  load_run(keys, base, 0, n, words);
  if (!ALL_AT_ONCE) {
    [[unroll]] for (uint i = VALUE_LOADS; i < LOADS; ++i) {
      const bool there = i * SIDE + gl_SubgroupInvocationID / LANES < n;
      words[i] = there ? SharedUvec4s(keys).v[base / KV_ELEMENTS + i * SUBGROUP + gl_SubgroupInvocationID] : uvec4(0);
    }
  }
  vec2 scales = vec2(1.0);
  if (KV_TYPE == KV_I8 && mine < n) {
    scales.x = SharedFloats(keys).v[kv_scale_at(base) + mine];
    scales.y = SharedFloats(keys).v[kv_scale_at(base + VALUES_AT) + mine];
  }
  if (ALL_AT_ONCE) load_run(keys, base + VALUES_AT, 0, n, values);
  float scores[HEADS];
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    float s[LOADS];
    [[unroll]] for (uint l = 0; l < LOADS; ++l) {
      vec4 v[4];
      unpack(words[l], v);
      s[l] = 0.0;
      [[unroll]] for (uint i = 0; i < QUADS; ++i) s[l] += dot(v[i], query[h * QUADS + i]);
    }
    scores[h] = transpose_sum(s) * scales.x;
  }
  if (!ALL_AT_ONCE) load_run(keys, base + VALUES_AT, 0, n, values);
  soften(scores, mine < n);
  if (KV_TYPE == KV_I8) {
    [[unroll]] for (uint h = 0; h < HEADS; ++h) weight[h] *= scales.y;
  }
  add_values(values, 0);
  for (uint first = VALUE_LOADS; first < LOADS; first += VALUE_LOADS) {
    load_run(keys, base + VALUES_AT, first, n, values);
    add_values(values, first);
  }
}

// What this subgroup found, to shared memory.
void store_run_sums() {
  [[unroll]] for (uint h = 0; h < HEADS; ++h) {
    const uint at = gl_SubgroupID * HEADS + h;
    const float sum = subgroupAdd(total[h]);
    if (gl_SubgroupInvocationID == 0) {
      merged_most[at] = most[h];
      merged_total[at] = sum;
    }
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
      vec4 v = acc[h * QUADS + i];
      [[unroll]] for (uint apart = LANES; apart < SUBGROUP; apart *= 2) v += subgroupShuffleXor(v, apart);
      if (gl_SubgroupInvocationID >= LANES) continue;
      [[unroll]] for (uint k = 0; k < 4; ++k) {
        merged[at * KV_DIM + gl_SubgroupInvocationID * KV_ELEMENTS + 4 * i + k] = v[k];
      }
    }
  }
}

// The subgroups' findings, to memory. `alone`: there are no other splits.
void store_attended(Share share, uint runs, bool alone) {
  for (uint i = thread_index(); i < HEADS * HEAD_DIM; i += gl_WorkGroupSize.x) {
    const uint h = i / HEAD_DIM, d = i % HEAD_DIM, head = share.first_head + h;
    float largest = -1e30, weights = 0.0, sum = 0.0;
    for (uint s = 0; s < runs; ++s) largest = max(largest, merged_most[s * HEADS + h]);
    for (uint s = 0; s < runs; ++s) {
      const float factor = exp(merged_most[s * HEADS + h] - largest);
      weights += factor * merged_total[s * HEADS + h];
      sum += factor * merged[(s * HEADS + h) * KV_DIM + d];
    }
    if (alone) {
      SharedFloats(uint64_t(p.attended)).v[head * HEAD_DIM + d] = sum / weights;
      continue;
    }
    p.partial.v[partial_at(head, share.split) + d] = sum;
    if (d == 0) {
      p.partial.v[record_at(head, share.split)] = largest;
      p.partial.v[record_at(head, share.split) + 1] = weights;
    }
  }
}

// The step's own key and value to an int8 cache: every workgroup that reads them writes them, the same.
void store_new(uint64_t keys, uint kv_head) {
  const uint at = kv_at(p.pages, row.pages_at, row.kv_index, kv_head);
  for (uint part = gl_SubgroupID; part < 2; part += SUBGROUPS) {
    store_vector((part * N_KV_HEADS + kv_head) * HEAD_DIM, keys, at + part * VALUES_AT);
  }
  buffer_barrier();
}

void attend(uint l) {
  const uint64_t keys = address(l, 0, KEYS);
  const uint positions = uint(row.kv_index) + 1, each = split_positions(positions, splits_of(positions));
  const uint splits = (positions + each - 1) / each;
  for (uint item = gl_WorkGroupID.x; item < HEAD_GROUPS * splits; item += gl_NumWorkGroups.x) {
    const Share share = share_of(item, positions, each);
    if (KV_TYPE == KV_I8 && share.end == positions) store_new(keys, share.kv_head);
    load_query(share.first_head);
    [[unroll]] for (uint h = 0; h < HEADS; ++h) {
      most[h] = -1e30;
      total[h] = 0.0;
    }
    [[unroll]] for (uint i = 0; i < HEADS * QUADS; ++i) acc[i] = vec4(0.0);
    for (uint first = share.begin + gl_SubgroupID * SUBGROUP; first < share.end; first += gl_WorkGroupSize.x) {
      attend_run(keys, kv_at(p.pages, row.pages_at, int(first), share.kv_head), min(SUBGROUP, share.end - first));
    }
    store_run_sums();
    barrier();
    store_attended(share, min(SUBGROUPS, (share.end - share.begin + SUBGROUP - 1) / SUBGROUP), splits == 1);
    barrier();
  }
}
