// SPDX-License-Identifier: Apache-2.0
// out = softmax(q K^T / sqrt(HEAD_DIM)) V over the positions 0 .. kv_index of a row, for HEADS query
// heads that share a key/value head; online softmax (Milakov and Gimelshein, 2018) page by page,
// split over workgroups where few rows would leave the device idle (Dao et al.,
// "Flash-Decoding", 2023).
//
// Workgroup (query heads, row, split). With one split, out is [rows][OUT_STRIDE]. With more, WebGPU having
// no order between workgroups of a dispatch, the op that reads out merges: out then is [row][split]
// [OUT_STRIDE] of weighted sums and, from OUT_STATS_AT pairs on, [row][split][N_HEADS] of largest score and
// sum of weights. Bindings: 0 x, 1 out_rows, 2 head, 5 keys.
//!include "common.wgsl"
@group(0) @binding(0) var<storage, read> x: array<f32>;               // q: [rows][X_STRIDE]
@group(0) @binding(1) var<storage, read_write> out_rows: array<f32>;
@group(0) @binding(2) var<storage, read> head: array<u32>;
@group(0) @binding(5) var<storage, read> keys: array<vec4<u32>>;      // of this layer, see kv.wgsl
//!include "lanes.wgsl"
//!include "kv.wgsl"
//!include "kv_quads.wgsl"

const GROUP_HEADS = N_HEADS / N_KV_HEADS;  // that share a key/value head
const QUADS = KV_DIM / 4u;
const STRIPES = max(THREADS / QUADS, 1u);  // positions worked on at a time
const QUADS_EACH = (QUADS + THREADS - 1u) / THREADS;
const STEPS = (PAGE + STRIPES - 1u) / STRIPES;
const SHARES = THREADS / PAGE;             // threads that share a key; THREADS is a multiple of PAGE

var<workgroup> q: array<vec4<f32>, HEADS * QUADS>;
var<workgroup> score: array<f32, HEADS * THREADS>;  // [head][share][position], then weights in share 0
var<workgroup> largest: array<f32, HEADS>;
var<workgroup> total: array<f32, HEADS>;
var<workgroup> rescale: array<f32, HEADS>;
var<workgroup> stripes: array<vec4<f32>, STRIPES * QUADS>;

//!if KV_WORDS
const KEY_WORDS4 = KV_DIM / 4u;
//!else
const KEY_WORDS4 = KV_DIM / 8u;
//!end
const KEY_LOADS = (KEY_WORDS4 + SHARES - 1u) / SHARES;

// Scores of a page's n positions; neighbouring threads read neighbouring words of a key.
fn scores_of(at: u32, n: u32, tid: u32) {
  let position = tid / SHARES;
  let share = tid % SHARES;
  // Loads without conditions, so that all are under way at once; what is beyond the page's n counts as nothing.
  var key = array<vec4<u32>, KEY_LOADS>();
  for (var i = 0u; i < KEY_LOADS; i++) {
    key[i] = keys[(at + min(position, n - 1u) * KV_DIM) / (KV_DIM / KEY_WORDS4) + min(share + i * SHARES, KEY_WORDS4 - 1u)];
  }
  var s = array<f32, HEADS>();
  for (var i = 0u; i < KEY_LOADS; i++) {
    let w = share + i * SHARES;
    if (KEY_WORDS4 % SHARES == 0u || w < KEY_WORDS4) {
//!if KV_WORDS
      for (var g = 0u; g < HEADS; g++) { s[g] += dot(bitcast<vec4<f32>>(key[i]), q[g * QUADS + w]); }
//!else
      let a = vec4<f32>(unpack2x16float(key[i].x), unpack2x16float(key[i].y));
      let b = vec4<f32>(unpack2x16float(key[i].z), unpack2x16float(key[i].w));
      for (var g = 0u; g < HEADS; g++) { s[g] += dot(a, q[g * QUADS + 2u * w]) + dot(b, q[g * QUADS + 2u * w + 1u]); }
//!end
    }
  }
  for (var g = 0u; g < HEADS; g++) { score[g * THREADS + share * PAGE + position] = s[g]; }
}

// Scores of the page to weights; LANES threads take a head at a time.
fn soften(n: u32, tid: u32) {
  for (var first = 0u; first < HEADS; first += LANE_GROUPS) {
    let g = min(first + tid / LANES, HEADS - 1u);
    let mine = first + tid / LANES < HEADS;
    var own = array<f32, (PAGE + LANES - 1u) / LANES>();
    let before = largest[g];
    var most = before;
    for (var i = 0u; i < (PAGE + LANES - 1u) / LANES; i++) {
      let position = tid % LANES + i * LANES;
      for (var share = 0u; share < SHARES; share++) { own[i] += score[g * THREADS + share * PAGE + position]; }
      if (position >= n) { own[i] = -1e30; }
      most = max(most, own[i]);
    }
    most = lane_max(most, tid);
    var sum = 0.0;
    for (var i = 0u; i < (PAGE + LANES - 1u) / LANES; i++) {
      let e = select(exp(own[i] - most), 0.0, own[i] <= -1e30);
      if (mine) { score[g * THREADS + tid % LANES + i * LANES] = e; }
      sum += e;
    }
    sum = lane_sum(sum, tid);
    if (mine && tid % LANES == 0u) {
      let factor = exp(before - most);
      rescale[g] = factor;
      total[g] = total[g] * factor + sum;
      largest[g] = most;
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let first_head = wg.x * HEADS;
  let row = wg.y;
  let split = wg.z;
  let kv_head = first_head / GROUP_HEADS;
  let positions = row_kv_index(row) + 1u;
  let begin = split * head[3];
  if (row >= n_rows() || begin >= positions) { return; }
  let end = min(positions, begin + head[3]);
  let pages_at = row_pages_at(row);
  for (var i = tid; i < HEADS * QUADS; i += THREADS) {
    let d = 4u * (i % QUADS);
    let at = row * X_STRIDE + (first_head + i / QUADS) * HEAD_DIM + d;
    var v = vec4<f32>();
    for (var j = 0u; j < 4u; j++) {
      if (d + j < HEAD_DIM) { v[j] = x[at + j] * SCALE; }
    }
    q[i] = v;
  }
  for (var g = tid; g < HEADS; g += THREADS) {
    largest[g] = -1e30;
    total[g] = 0.0;
  }
  workgroupBarrier();

  let stripe = tid / QUADS;
  var acc = array<vec4<f32>, HEADS * QUADS_EACH>();
  for (var first = begin; first < end; first += PAGE) {
    let at = kv_at(pages_at, first, kv_head);
    let n = min(PAGE, end - first);
    scores_of(at, n, tid);
    workgroupBarrier();
    soften(n, tid);
    workgroupBarrier();
    for (var g = 0u; g < HEADS; g++) {
      for (var j = 0u; j < QUADS_EACH; j++) { acc[g * QUADS_EACH + j] *= rescale[g]; }
    }
    for (var j = 0u; j < QUADS_EACH; j++) {
      let quad_at = min(tid % QUADS + j * THREADS, QUADS - 1u);
      var v = array<vec4<f32>, STEPS>();
      for (var i = 0u; i < STEPS; i++) {
        v[i] = quad(VALUES_AT + at + min(stripe + i * STRIPES, n - 1u) * KV_DIM + 4u * quad_at);
      }
      for (var i = 0u; i < STEPS; i++) {
        let position = stripe + i * STRIPES;
        for (var g = 0u; g < HEADS; g++) {
          if (position < PAGE) { acc[g * QUADS_EACH + j] += score[g * THREADS + position] * v[i]; }
        }
      }
    }
    workgroupBarrier();
  }

  let splits = head[2];
  for (var g = 0u; g < HEADS; g++) {
    for (var j = 0u; j < QUADS_EACH; j++) {
      let quad_at = tid % QUADS + j * THREADS;
      if (stripe < STRIPES && quad_at < QUADS) { stripes[stripe * QUADS + quad_at] = acc[g * QUADS_EACH + j]; }
    }
    workgroupBarrier();
    let factor = select(1.0, 1.0 / total[g], splits == 1u);
    for (var d = tid; d < HEAD_DIM; d += THREADS) {
      var sum = 0.0;
      for (var s = 0u; s < STRIPES; s++) { sum += stripes[s * QUADS + d / 4u][d % 4u]; }
      out_rows[(row * splits + split) * OUT_STRIDE + (first_head + g) * HEAD_DIM + d] = sum * factor;
    }
    if (tid == 0u && splits > 1u) {
      let at = 2u * (OUT_STATS_AT + (row * splits + split) * N_HEADS + first_head + g);
      out_rows[at] = largest[g];
      out_rows[at + 1u] = total[g];
    }
    workgroupBarrier();
  }
}
