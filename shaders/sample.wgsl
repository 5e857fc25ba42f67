// SPDX-License-Identifier: Apache-2.0
// The token that core/engine/sampler.cc would draw from a step's logits becomes the next step's row:
// top-k, top-p, min-p, temperature. To the token: the same order of candidates and the same exponential, by
// single roundings (alone()). Sums are whole numbers of 2^-52: nearer to exact than the host's doubles, which
// they leave by less than 2^-43 of the sum. One workgroup.
// Bindings: 0 logits, 1 head, 3 tokens, 4 choice.
//!include "common.wgsl"
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> head: array<u32>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;  // [steps]
// top_k (2 to a quarter of the threads), then floats: top_p, min_p, 1 / temperature, a random number a step.
@group(0) @binding(4) var<storage, read> choice: array<u32>;
//!include "next_step.wgsl"
//!include "fixed.wgsl"

const MOST_K = 256u;
const ROOM = 1024u;  // candidates looked at
const WORDS = (N_OUT + 3u) / 4u;
const NONE = 0xffffffffu;

var<workgroup> counts: array<atomic<u32>, 32>;  // of a bit
var<workgroup> n_found: atomic<u32>;
var<workgroup> found_logit: array<f32, ROOM>;
var<workgroup> found_token: array<u32, ROOM>;
var<workgroup> best_logit: array<f32, MOST_K>;  // the top_k, best first
var<workgroup> best_token: array<u32, MOST_K>;
var<workgroup> weight: array<f32, MOST_K>;      // e^(logit - best), then the same at the temperature
var<workgroup> round_key: atomic<u32>;
var<workgroup> round_token: atomic<u32>;
var<workgroup> shared_word: u32;

// Greater for greater logits; 0 for what is no candidate: below LOWEST, and NaN. By its bits, so that no
// compiler has a say in what NaN is.
fn rank_key(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u || bits == 0xff800000u) { return 0u; }
  if (size == 0u) { return 0x80000000u; }  // of either sign
  return select(bits | 0x80000000u, ~bits, bits != size);
}

// Thread 0's value, in all of them; what they wrote before is seen after it.
fn told(v: u32, tid: u32) -> u32 {
  if (tid == 0u) { shared_word = v; }
  return workgroupUniformLoad(&shared_word);
}

fn better(a: f32, a_token: u32, b: f32, b_token: u32) -> bool { return a > b || (a == b && a_token < b_token); }

// A thread's words are number tid + i * THREADS. Their largest key.
fn largest_key(tid: u32) -> u32 {
  var most = 0u;
  for (var w = tid; w < WORDS; w += THREADS) {
    let v = logits[w];
    for (var k = 0u; k < 4u; k++) {
      if (4u * w + k < N_OUT) { most = max(most, rank_key(v[k])); }
    }
  }
  return most;
}

// A key that k threads' largest reach, and few more than that: at least k logits are as good. 0 where
// there are fewer.
fn floor_key(largest: u32, k: u32, tid: u32) -> u32 {
  var least = 0u;
  for (var bit = 0u; bit < 32u; bit++) {
    let tried = least | (0x80000000u >> bit);
    if (largest >= tried) { atomicAdd(&counts[bit], 1u); }
    workgroupBarrier();
    let n = told(atomicLoad(&counts[bit]), tid);
    if (n >= k) {
      least = tried;
      if (n <= 2u * k) { break; }
    }
  }
  return least;
}

fn collect(least: u32, tid: u32) {
  for (var w = tid; w < WORDS; w += THREADS) {
    let v = logits[w];
    for (var k = 0u; k < 4u; k++) {
      let key = rank_key(v[k]);
      if (4u * w + k < N_OUT && key != 0u && key >= least) {
        let slot = atomicAdd(&n_found, 1u);
        if (slot < ROOM) {
          found_logit[slot] = v[k];
          found_token[slot] = 4u * w + k;
        }
      }
    }
  }
}

// What was found to its place in the order.
fn sort_found(n: u32, k: u32, tid: u32) {
  for (var i = tid; i < n; i += THREADS) {
    let logit = found_logit[i];
    let token = found_token[i];
    var at = 0u;
    for (var j = 0u; j < n; j++) { at += select(0u, 1u, better(found_logit[j], found_token[j], logit, token)); }
    if (at < k) {
      best_logit[at] = logit;
      best_token[at] = token;
    }
  }
}

// The same for any number of equals, one after another. Returns how many there are.
fn select_slowly(k: u32, tid: u32) -> u32 {
  var last_key = NONE;
  var last_token = 0u;
  for (var n = 0u; n < k; n++) {
    var key = 0u;
    var token = NONE;
    for (var w = tid; w < WORDS; w += THREADS) {
      let v = logits[w];
      for (var j = 0u; j < 4u; j++) {
        let i = 4u * w + j;
        let own = rank_key(v[j]);
        if (i < N_OUT && own > key && (own < last_key || (own == last_key && i > last_token))) {
          key = own;
          token = i;
        }
      }
    }
    if (tid == 0u) {
      atomicStore(&round_key, 0u);
      atomicStore(&round_token, NONE);
    }
    workgroupBarrier();
    atomicMax(&round_key, key);
    workgroupBarrier();
    let most = told(atomicLoad(&round_key), tid);
    if (key == most) { atomicMin(&round_token, token); }
    workgroupBarrier();
    let first = told(atomicLoad(&round_token), tid);
    if (most == 0u) { return n; }
    if (tid == 0u) {
      best_logit[n] = logits[first / 4u][first % 4u];
      best_token[n] = first;
    }
    last_key = most;
    last_token = first;
  }
  return k;
}

// What it is given, unseen by the compiler, which therefore can't fuse what is before with what is after.
fn alone(v: f32) -> f32 { return bitcast<f32>(bitcast<u32>(v) ^ head[5]); }

// exp_f32 of core/base/numeric.cc.
fn exact_exp(x: f32) -> f32 {
  if (x < -87.3) { return 0.0; }
  let n = round(alone(x * 1.44269504));
  var r = alone(x - alone(n * 0.693359375));
  r = alone(r - alone(n * -2.12194440e-4));
  var e = 1.0 / 720.0;
  e = alone(alone(e * r) + 1.0 / 120.0);
  e = alone(alone(e * r) + 1.0 / 24.0);
  e = alone(alone(e * r) + 1.0 / 6.0);
  e = alone(alone(e * r) + 0.5);
  e = alone(alone(e * r) + 1.0);
  e = alone(alone(e * r) + 1.0);
  let exponent = i32(n);  // x is not above 0
  let first = bitcast<f32>(u32(127 + exponent / 2) << 23u);
  let rest = bitcast<f32>(u32(127 + exponent - exponent / 2) << 23u);
  return alone(alone(e * first) * rest);
}

fn weigh(n: u32, factor: f32, tid: u32) {
  for (var i = tid; i < n; i += THREADS) {
    weight[i] = exact_exp(alone(alone(best_logit[i] - best_logit[0]) * factor));
  }
}

// Of the first n.
fn sum_of(n: u32) -> Fixed {
  var sum = Fixed(0u, 0u);
  for (var i = 0u; i < n; i++) { sum = plus(sum, fixed(weight[i])); }
  return sum;
}

// How many top-p and min-p let live.
fn cut(n: u32, top_p: f32, min_p: f32) -> u32 {
  let sums = top_p < 1.0;
  var wanted = Fixed(0u, 0u);
  if (sums) { wanted = share(sum_of(n), top_p); }
  var mass = Fixed(0u, 0u);
  for (var i = 0u; i < n; i++) {
    let w = weight[i];
    if (i > 0u && ((sums && !less(mass, wanted)) || w < min_p || w == 0.0)) { return i; }
    mass = plus(mass, fixed(w));
  }
  return n;
}

fn draw(n: u32, unit: f32) -> u32 {
  let wanted = share(sum_of(n), unit);
  var mass = Fixed(0u, 0u);
  for (var i = 0u; i < n; i++) {
    mass = plus(mass, fixed(weight[i]));
    if (less(wanted, mass)) { return best_token[i]; }
  }
  return best_token[0];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) tid: u32) {
  let k = choice[0];
  let top_p = bitcast<f32>(choice[1]);
  let min_p = bitcast<f32>(choice[2]);
  collect(floor_key(largest_key(tid), k, tid), tid);
  workgroupBarrier();
  var n = told(atomicLoad(&n_found), tid);
  if (n > ROOM) {
    n = select_slowly(k, tid);
  } else {
    sort_found(n, k, tid);
    n = min(n, k);
  }
  workgroupBarrier();
  if (n == 0u) {  // every logit is -inf or NaN
    if (tid == 0u) { next_step(0u); }
    return;
  }
  weigh(n, 1.0, tid);
  workgroupBarrier();
  var alive = n;
  if (tid == 0u && (top_p < 1.0 || min_p > 0.0)) { alive = cut(n, top_p, min_p); }
  n = told(alive, tid);
  weigh(n, bitcast<f32>(choice[3]), tid);
  workgroupBarrier();
  if (tid == 0u) { next_step(draw(n, bitcast<f32>(choice[4u + head[4]]))); }
}
