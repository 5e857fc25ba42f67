#version 460
// SPDX-License-Identifier: Apache-2.0
// The token that core/engine/sampler.cc would draw from a step's logits becomes the next step's row:
// top-k, top-p, min-p, temperature. To the token: the same order of candidates, the same exponential,
// the same sums in double, one after another; so nothing here may be fused or reordered (precise).
// One workgroup.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float64 : require
#include "common.glsl"

layout(constant_id = 9) const uint N_OUT = 1;

// See TokenChoice of core/engine/sampler.h.
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer Choice {
  uint top_k;  // 2 to MOST_K
  float top_p, min_p;
  float inverse;  // 1 / temperature
  float units[];  // by step
};

layout(push_constant, scalar) uniform Push {
  Vec4s logits;
  Heads head;  // step counts within a submission
  Rows rows;
  Uints tokens;  // [steps]
  Choice choice;
} p;

#include "next_step.glsl"

const uint THREADS = gl_WorkGroupSize.x;
const uint SUBGROUPS = THREADS / SUBGROUP;
const uint MOST_K = 256;  // and a quarter of the threads: see Program::most_top_k
const uint ROOM = 1024;   // candidates looked at
const uint WORDS = (N_OUT + 3) / 4;
const uint NONE = 0xffffffffu;
const float LOWEST = -1.0 / 0.0;

shared uint counts[2 * SUBGROUPS];
shared float found_logit[ROOM];
shared uint found_token[ROOM];
shared uint n_found;
shared float best_logit[MOST_K + 8];  // the top_k, best first
shared uint best_token[MOST_K + 8];
shared float weight[MOST_K + 8];      // e^(logit - best), then the same at the temperature; zeros follow
shared float round_value[SUBGROUPS];
shared uint round_token[SUBGROUPS];

// Greater for greater logits; 0 for what is no candidate: -inf and NaN.
uint rank_key(float v) {
  if (!(v > LOWEST)) return 0;
  if (v == 0.0) return 0x80000000u;  // of either sign
  const uint bits = floatBitsToUint(v);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

bool better(float a, uint a_token, float b, uint b_token) {
  return a > b || a == b && a_token < b_token;
}

uint turn = 0;
// How many threads say so, in all of them.
uint count(bool yes) {
  const uint base = turn * SUBGROUPS;
  turn ^= 1;
  const uint own = subgroupAdd(yes ? 1u : 0u);
  if (subgroupElect()) counts[base + gl_SubgroupID] = own;
  barrier();
  uint sum = 0;
  for (uint i = gl_SubgroupInvocationID; i < SUBGROUPS; i += SUBGROUP) sum += counts[base + i];
  return subgroupAdd(sum);
}

// A thread's words are number thread_index() + i * THREADS. Their largest key.
uint largest_key() {
  float most = LOWEST;
  for (uint w = thread_index(); w < WORDS; w += THREADS) {
    const vec4 v = p.logits.v[w];
    [[unroll]] for (uint k = 0; k < 4; ++k) {
      if (4 * w + k < N_OUT && v[k] > most) most = v[k];
    }
  }
  return rank_key(most);
}

// A key that k threads' largest reach, and few more than that: at least k logits are as good. 0 where
// there are fewer.
uint floor_key(uint largest, uint k) {
  uint floor = 0;
  for (int bit = 31; bit >= 0; --bit) {
    const uint tried = floor | 1u << bit;
    const uint n = count(largest >= tried);
    if (n < k) continue;
    floor = tried;
    if (n <= 2 * k) break;
  }
  return floor;
}

void collect(uint floor) {
  for (uint w = thread_index(); w < WORDS; w += THREADS) {
    const vec4 v = p.logits.v[w];
    [[unroll]] for (uint k = 0; k < 4; ++k) {
      if (4 * w + k >= N_OUT || !(v[k] > LOWEST) || rank_key(v[k]) < floor) continue;
      const uint slot = atomicAdd(n_found, 1);
      if (slot >= ROOM) continue;
      found_logit[slot] = v[k];
      found_token[slot] = 4 * w + k;
    }
  }
}

// What was found to its place in the order.
void sort_found(uint n, uint k) {
  for (uint i = thread_index(); i < n; i += THREADS) {
    const float logit = found_logit[i];
    const uint token = found_token[i];
    uint place = 0;
    for (uint j = 0; j < n; ++j) place += better(found_logit[j], found_token[j], logit, token) ? 1 : 0;
    if (place < k) {
      best_logit[place] = logit;
      best_token[place] = token;
    }
  }
}

// The same for any number of equals, one after another. Returns how many there are.
uint select_slowly(uint k) {
  float last = 1.0 / 0.0;
  uint last_token = 0, n = 0;
  for (; n < k; ++n) {
    float value = LOWEST;
    uint token = NONE;
    for (uint w = thread_index(); w < WORDS; w += THREADS) {
      const vec4 v = p.logits.v[w];
      [[unroll]] for (uint j = 0; j < 4; ++j) {
        const uint i = 4 * w + j;
        if (i < N_OUT && v[j] > value && (n == 0 || better(last, last_token, v[j], i))) {
          value = v[j];
          token = i;
        }
      }
    }
    const float most = subgroupMax(value);
    token = subgroupMin(value == most ? token : NONE);
    barrier();
    if (subgroupElect()) {
      round_value[gl_SubgroupID] = most;
      round_token[gl_SubgroupID] = token;
    }
    barrier();
    last = round_value[0];
    last_token = round_token[0];
    for (uint i = 1; i < SUBGROUPS; ++i) {
      if (better(round_value[i], round_token[i], last, last_token)) {
        last = round_value[i];
        last_token = round_token[i];
      }
    }
    if (last_token == NONE) break;
    if (thread_index() == 0) {
      best_logit[n] = last;
      best_token[n] = last_token;
    }
  }
  return n;
}

// exp_f32 of core/base/numeric.cc.
float exact_exp(float x) {
  if (isnan(x)) return x;
  if (x < -87.3) return 0.0;
  if (x > 88.7) return 3.402823466e38;
  precise const float n = roundEven(x * 1.44269504);
  precise float r = x - n * 0.693359375;
  r = r - n * -2.12194440e-4;
  precise float e = 1.0 / 720.0;
  e = e * r + 1.0 / 120.0;
  e = e * r + 1.0 / 24.0;
  e = e * r + 1.0 / 6.0;
  e = e * r + 0.5;
  e = e * r + 1.0;
  e = e * r + 1.0;
  const int exponent = int(n);
  const float first = uintBitsToFloat(uint(127 + exponent / 2) << 23);
  const float rest = uintBitsToFloat(uint(127 + exponent - exponent / 2) << 23);
  precise const float result = e * first * rest;
  return result;
}

void weigh(uint n, float factor) {
  for (uint i = thread_index(); i < MOST_K + 8; i += THREADS) {
    precise const float distance = (best_logit[i] - best_logit[0]) * factor;
    weight[i] = i < n ? exact_exp(distance) : 0.0;
  }
}

// Of the first n, in order; zeros beyond them change nothing.
double sum_of(uint n) {
  precise double sum = 0.0lf;
  for (uint i = 0; i < n; i += 8) {
    float w[8];
    [[unroll]] for (uint k = 0; k < 8; ++k) w[k] = i + k < n ? weight[i + k] : 0.0;
    [[unroll]] for (uint k = 0; k < 8; ++k) sum = sum + double(w[k]);
  }
  return sum;
}

// How many top-p and min-p let live.
uint cut(uint n) {
  const bool sums = p.choice.top_p < 1.0;
  precise const double wanted = double(p.choice.top_p) * (sums ? sum_of(n) : 0.0lf);
  precise double mass = 0.0lf;
  for (uint i = 0; i < n; ++i) {
    const float w = weight[i];
    if (i > 0 && (sums && mass >= wanted || w < p.choice.min_p || w == 0.0)) return i;
    mass = mass + double(w);
  }
  return n;
}

uint draw(uint n, float unit) {
  precise double left = double(unit) * sum_of(n);
  for (uint i = 0; i < n; ++i) {
    left = left - double(weight[i]);
    if (left < 0.0lf) return best_token[i];
  }
  return best_token[0];
}

shared uint n_alive;

void main() {
  const uint k = p.choice.top_k;
  if (thread_index() == 0) n_found = 0;
  const uint largest = largest_key();
  const uint floor = floor_key(largest, k);
  barrier();
  if (largest > 0 && largest >= floor) collect(floor);
  barrier();
  uint n = n_found;
  if (n > ROOM) {
    n = select_slowly(k);
  } else {
    sort_found(n, k);
    n = min(n, k);
  }
  barrier();
  if (n == 0) {  // every logit is -inf or NaN
    if (thread_index() == 0) next_step(0);
    return;
  }
  weigh(n, 1.0);
  barrier();
  if (thread_index() == 0) {
    n_alive = p.choice.top_p < 1.0 || p.choice.min_p > 0.0 ? cut(n) : n;
  }
  barrier();
  weigh(n_alive, p.choice.inverse);
  barrier();
  if (thread_index() == 0) next_step(draw(n_alive, p.choice.units[p.head.v.step]));
}
