// SPDX-License-Identifier: Apache-2.0
// attention.wgsl for many rows of few sequences: the same sums, one split. A workgroup takes LINES queries
// (HEADS heads that share a key/value head, by ROWS rows) and walks over the pages of keys and values that
// they see, once for each sequence among its rows. Scores of a page stand in shared memory, on their way from
// threads that share keys to threads that share values; sums stay in registers.
//
// Workgroup (query heads, rows). Bindings: 0 x, 1 out_rows, 2 head, 5 keys.
//!include "common.wgsl"
@group(0) @binding(0) var<storage, read> x: array<f32>;               // q: [rows][X_STRIDE]
@group(0) @binding(1) var<storage, read_write> out_rows: array<f32>;  // [rows][OUT_STRIDE]
@group(0) @binding(2) var<storage, read> head: array<u32>;
@group(0) @binding(5) var<storage, read> keys: array<vec4<u32>>;      // of this layer, see kv.wgsl
//!include "kv.wgsl"
//!include "kv_quads.wgsl"

const GROUP_HEADS = N_HEADS / N_KV_HEADS;  // that share a key/value head
const LINES = 32u;
const ROWS = LINES / HEADS;
const WIDE = 16u;                          // threads side by side; THREADS is 8 times as many
const QUADS = KV_DIM / 4u;
const EACH = (QUADS + WIDE - 1u) / WIDE;   // quads of a query's sums that a thread makes
const STEP = 4u;                           // quads of q and of keys in shared memory at a time
const AHEAD = 8u;                          // positions whose values are loaded together
const KEYS_EACH = PAGE * STEP / THREADS;

var<workgroup> tile_q: array<vec4<f32>, STEP * LINES>;
var<workgroup> tile_k: array<vec4<f32>, STEP * PAGE>;
var<workgroup> score: array<vec4<f32>, PAGE * LINES / 4u>;  // [position][line / 4]: four lines
var<workgroup> part: array<vec4<f32>, WIDE * LINES / 4u>;   // of a reduction over positions
var<workgroup> largest: array<vec4<f32>, LINES / 4u>;
var<workgroup> total: array<vec4<f32>, LINES / 4u>;
var<workgroup> rescale: array<vec4<f32>, LINES / 4u>;

// Line l is head l % HEADS of row l / HEADS.
fn line_row(first: u32, line: u32, last: u32) -> u32 { return min(first + line / HEADS, last); }

fn query_quad(row: u32, q_head: u32, quad_at: u32) -> vec4<f32> {
  var v = vec4<f32>();
  let at = row * X_STRIDE + q_head * HEAD_DIM;
  for (var j = 0u; j < 4u; j++) { v[j] = x[at + min(4u * quad_at + j, HEAD_DIM - 1u)] * SCALE; }
  let d = 4u * quad_at;
  return select(vec4<f32>(), v, vec4<u32>(d, d + 1u, d + 2u, d + 3u) < vec4<u32>(HEAD_DIM));
}

fn place(lines: u32, line: u32, quad_at: u32) -> u32 { return quad_at * lines + (line ^ (2u * quad_at)); }

// Rows [first, last] of one sequence.
fn attend(first: u32, last: u32, first_head: u32, tid: u32) {
  let tu = tid % WIDE;
  let tm = tid / WIDE;  // of eight: four lines each
  let kv_head = first_head / GROUP_HEADS;
  let pages_at = row_pages_at(first);
  let positions = row_kv_index(last) + 1u;
  var reach: vec4<u32>;  // of this thread's lines
  for (var i = 0u; i < 4u; i++) { reach[i] = row_kv_index(line_row(first, 4u * tm + i, last)); }
  if (tid < LINES / 4u) {
    largest[tid] = vec4<f32>(-1e30);
    total[tid] = vec4<f32>();
  }
  var acc = array<vec4<f32>, 4u * EACH>();  // [line][quad]
  for (var begin = 0u; begin < positions; begin += PAGE) {
    let at = kv_at(pages_at, begin, kv_head);
    let n = min(PAGE, positions - begin);
    var s = array<vec4<f32>, 4>();  // [position tu + 16 i]: four lines
    for (var k = 0u; k < QUADS; k += STEP) {
      workgroupBarrier();
      {
        let line = tid / STEP;
        let quad_at = k + tid % STEP;
        tile_q[place(LINES, line, tid % STEP)] = query_quad(line_row(first, line, last), first_head + line % HEADS, quad_at);
      }
      var key = array<vec4<f32>, KEYS_EACH>();
      for (var i = 0u; i < KEYS_EACH; i++) {
        let line = min((tid + i * THREADS) / STEP, n - 1u);
        key[i] = quad(at + line * KV_DIM + 4u * min(k + tid % STEP, QUADS - 1u));
      }
      for (var i = 0u; i < KEYS_EACH; i++) {
        let wanted = k + tid % STEP < QUADS;
        tile_k[place(PAGE, (tid + i * THREADS) / STEP, tid % STEP)] = select(vec4<f32>(), key[i], wanted);
      }
      workgroupBarrier();
      for (var c = 0u; c < STEP; c++) {
        let q0 = tile_q[place(LINES, 4u * tm, c)];
        let q1 = tile_q[place(LINES, 4u * tm + 1u, c)];
        let q2 = tile_q[place(LINES, 4u * tm + 2u, c)];
        let q3 = tile_q[place(LINES, 4u * tm + 3u, c)];
        for (var i = 0u; i < 4u; i++) {
          let key = tile_k[place(PAGE, tu + WIDE * i, c)];
          s[i] += vec4<f32>(dot(q0, key), dot(q1, key), dot(q2, key), dot(q3, key));
        }
      }
    }
    // The largest score of each line: of this thread's positions, then of all.
    var most = vec4<f32>(-1e30);
    for (var i = 0u; i < 4u; i++) {
      s[i] = select(s[i], vec4<f32>(-1e30), vec4<u32>(begin + tu + WIDE * i) > reach);
      most = max(most, s[i]);
    }
    part[tu * (LINES / 4u) + tm] = most;
    workgroupBarrier();
    if (tid < LINES / 4u) {
      var all = largest[tid];
      for (var i = 0u; i < WIDE; i++) { all = max(all, part[i * (LINES / 4u) + tid]); }
      rescale[tid] = exp(largest[tid] - all);
      largest[tid] = all;
    }
    workgroupBarrier();
    var sum = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
      let e = select(exp(s[i] - largest[tm]), vec4<f32>(), s[i] <= vec4<f32>(-1e30));
      score[(tu + WIDE * i) * (LINES / 4u) + tm] = e;
      sum += e;
    }
    part[tu * (LINES / 4u) + tm] = sum;
    workgroupBarrier();
    if (tid < LINES / 4u) {
      var all = total[tid] * rescale[tid];
      for (var i = 0u; i < WIDE; i++) { all += part[i * (LINES / 4u) + tid]; }
      total[tid] = all;
    }
    let factor = rescale[tm];
    for (var j = 0u; j < EACH; j++) {
      for (var i = 0u; i < 4u; i++) { acc[i * EACH + j] *= factor[i]; }
    }
    // Loads without conditions, so that several are under way at once; weights beyond the page's n are zero.
    for (var p = 0u; p < n; p += AHEAD) {
      var v = array<vec4<f32>, AHEAD * EACH>();
      for (var i = 0u; i < AHEAD; i++) {
        for (var j = 0u; j < EACH; j++) {
          v[i * EACH + j] = quad(VALUES_AT + at + min(p + i, n - 1u) * KV_DIM + 4u * min(tu + WIDE * j, QUADS - 1u));
        }
      }
      for (var i = 0u; i < AHEAD; i++) {
        let e = score[(p + i) * (LINES / 4u) + tm];
        for (var j = 0u; j < EACH; j++) {
          let value = v[i * EACH + j];
          acc[j] += e.x * value;
          acc[EACH + j] += e.y * value;
          acc[2u * EACH + j] += e.z * value;
          acc[3u * EACH + j] += e.w * value;
        }
      }
    }
  }
  workgroupBarrier();
  let sums = total[tm];
  for (var i = 0u; i < 4u; i++) {
    let line = 4u * tm + i;
    let row = first + line / HEADS;
    if (row > last || line >= ROWS * HEADS) { continue; }
    for (var j = 0u; j < EACH; j++) {
      let v = acc[i * EACH + j] / sums[i];
      for (var d = 0u; d < 4u; d++) {
        let dim = 4u * (tu + WIDE * j) + d;
        if (dim < HEAD_DIM) { out_rows[row * OUT_STRIDE + (first_head + line % HEADS) * HEAD_DIM + dim] = v[d]; }
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) n_wg: vec3<u32>,
        @builtin(local_invocation_index) tid: u32) {
  let begin = (n_wg.y - 1u - wg.y) * ROWS;  // the longest first
  let end = min(begin + ROWS, n_rows());
  for (var first = begin; first < end;) {
    var last = first;
    while (last + 1u < end && row_pages_at(last + 1u) == row_pages_at(first)) { last++; }
    attend(first, last, wg.x * HEADS, tid);
    workgroupBarrier();
    first = last + 1u;
  }
}
