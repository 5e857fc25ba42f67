// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for many rows of x, which prepare_rows.wgsl has left in xq (and xs). A workgroup
// of 16 by 16 threads makes 16 TILE_W weight rows by 16 TILE_X rows of x; a thread TILE_W by TILE_X of them,
// 16 apart. STEP quads of each row lie in shared memory at a time while the next are under way: of i8 16
// columns each, else four floats.
//!if WEIGHT_I8
alias Quad = vec4<u32>;
const QUADS_WORD4 = 1u;
//!else
alias Quad = vec4<f32>;
const QUADS_WORD4 = WEIGHTS_PER_WORD4 / 4u;
//!end
const SIDE = 16u;
const TILE_ROWS = SIDE * TILE_W;
const TILE_M = SIDE * TILE_X;
const X_QUADS = ROW_WORDS4 * QUADS_WORD4;
const SWIZZLE = 8u / STEP;
const W_WORDS = TILE_ROWS * STEP / QUADS_WORD4;  // of the weights, a step
const W_EACH = (W_WORDS + THREADS - 1u) / THREADS;
const X_EACH = (TILE_M * STEP + THREADS - 1u) / THREADS;

var<workgroup> tile_w: array<Quad, STEP * TILE_ROWS>;
var<workgroup> tile_x: array<Quad, STEP * TILE_M>;

// Where a quad of a line lies: what neighbouring threads write or read is on different banks.
fn place(lines: u32, line: u32, quad: u32) -> u32 { return quad * lines + (line ^ (SWIZZLE * quad)); }

fn unit_at(first: u32, line: u32) -> u32 { return first + line / SIDE / R * SIDE + line % SIDE; }
fn tile_row(first: u32, line: u32) -> u32 { return unit_row(min(unit_at(first, line), UNITS - 1u), line / SIDE % R); }

fn keep_weights(i: u32, w: vec4<u32>) {
  let line = i / (STEP / QUADS_WORD4);
  let part = i % (STEP / QUADS_WORD4);
//!if WEIGHT_I8
  tile_w[place(TILE_ROWS, line, part)] = w;
//!end
//!if WEIGHT_F16
  tile_w[place(TILE_ROWS, line, 2u * part)] = halves(w.xy);
  tile_w[place(TILE_ROWS, line, 2u * part + 1u)] = halves(w.zw);
//!end
//!if WEIGHT_F32
  tile_w[place(TILE_ROWS, line, part)] = bitcast<vec4<f32>>(w);
//!end
}

//!if WEIGHT_I8
// Sums of a block are integers below 2^22, kept in the low bits of a float between 2^23 and 2^24: the float
// less ZERO is the sum, exactly, and cheaper than a conversion.
const ZERO = 12582912.0;
const ZERO_BITS = 0x4b400000i;
const BLOCK_QUADS = BLOCK / 16u;
fn dot16_add(a: vec4<u32>, b: vec4<u32>, c: i32) -> i32 {
  return dot4I8Packed(a.w, b.w) + (dot4I8Packed(a.z, b.z) + (dot4I8Packed(a.y, b.y) + (dot4I8Packed(a.x, b.x) + c)));
}
//!end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let n_x = X_ROWS();
  let first_m = wg.y * TILE_M;
  if (first_m >= n_x) { return; }
  let first_unit = wg.x * (TILE_ROWS / R);
  let tu = tid % SIDE;
  let tm = tid / SIDE;
  var w_at: array<u32, W_EACH>;
  var x_at: array<u32, X_EACH>;
  var next_w: array<vec4<u32>, W_EACH>;
  var next_x: array<Quad, X_EACH>;
  for (var i = 0u; i < W_EACH; i++) {
    let at = min(tid + i * THREADS, W_WORDS - 1u);
    w_at[i] = tile_row(first_unit, at / (STEP / QUADS_WORD4)) * ROW_WORDS4 + at % (STEP / QUADS_WORD4);
    next_w[i] = weights[w_at[i]];
  }
  for (var i = 0u; i < X_EACH; i++) {
    let at = min(tid + i * THREADS, TILE_M * STEP - 1u);
    x_at[i] = min(first_m + at / STEP, n_x - 1u) * X_QUADS + at % STEP;
    next_x[i] = xq[x_at[i]];
  }
  var acc = array<f32, TILE_W * TILE_X>();
//!if WEIGHT_I8
  var sum: array<i32, TILE_W * TILE_X>;
//!each I TILE_W*TILE_X
  sum[$I] = ZERO_BITS;
//!end
//!end
  for (var k = 0u; k < X_QUADS; k += STEP) {
    workgroupBarrier();
    for (var i = 0u; i < W_EACH; i++) {
      if (tid + i * THREADS < W_WORDS) { keep_weights(tid + i * THREADS, next_w[i]); }
    }
    for (var i = 0u; i < X_EACH; i++) {
      let at = tid + i * THREADS;
      if (at < TILE_M * STEP) { tile_x[place(TILE_M, at / STEP, at % STEP)] = next_x[i]; }
    }
    workgroupBarrier();
    if (k + STEP < X_QUADS) {
      for (var i = 0u; i < W_EACH; i++) { next_w[i] = weights[w_at[i] + (k + STEP) / QUADS_WORD4]; }
      for (var i = 0u; i < X_EACH; i++) { next_x[i] = xq[x_at[i] + k + STEP]; }
    }
    for (var quad = 0u; quad < STEP; quad++) {
      // place() of lines 16 apart.
      let lines_w = quad * TILE_ROWS + (tu ^ (SWIZZLE * quad));
      let lines_x = quad * TILE_M + (tm ^ (SWIZZLE * quad));
//!each W TILE_W
      let w$W = tile_w[lines_w + $Wu * SIDE];
//!end
//!each X TILE_X
      let x$X = tile_x[lines_x + $Xu * SIDE];
//!each W TILE_W
//!if WEIGHT_I8
      sum[$Xu * TILE_W + $Wu] = dot16_add(w$W, x$X, sum[$Xu * TILE_W + $Wu]);
//!else
      acc[$Xu * TILE_W + $Wu] += dot(w$W, x$X);
//!end
//!end
//!end
//!if WEIGHT_I8
      let done = k + quad + 1u;
      if (done % BLOCK_QUADS == 0u || done == X_QUADS) {
        let block = min((k + quad) / BLOCK_QUADS, BLOCKS - 1u);
//!each X TILE_X
        let s$X = xs[min(first_m + $Xu * SIDE + tm, n_x - 1u) * BLOCKS + block];
//!end
//!each W TILE_W
        var g$W = 1.0;
        if (GROUP != 0u) { g$W = scales[tile_row(first_unit, $Wu * SIDE + tu) * GROUPS + min(block, GROUPS - 1u)]; }
//!each X TILE_X
        acc[$Xu * TILE_W + $Wu] += s$X * g$W * (bitcast<f32>(sum[$Xu * TILE_W + $Wu]) - ZERO);
        sum[$Xu * TILE_W + $Wu] = ZERO_BITS;
//!end
//!end
      }
//!end
    }
  }
//!each U TILE_W/R
  let unit$U = unit_at(first_unit, $Uu * R * SIDE + tu);
  if (unit$U < UNITS) {
    var factor = array<f32, R>();
    var added = array<f32, R>();
    for (var r = 0u; r < R; r++) {
      factor[r] = 1.0;
//!if WEIGHT_I8
      if (GROUP == 0u) { factor[r] = scales[unit_row(unit$U, r)]; }
//!end
//!if BIAS
      added[r] = bias[bias_row(unit$U, r)];
//!end
    }
//!each X TILE_X
    if (first_m + $Xu * SIDE + tm < n_x) {
      let m = first_m + $Xu * SIDE + tm;
      var sums = array<f32, R>();
      for (var r = 0u; r < R; r++) { sums[r] = acc[$Xu * TILE_W + $Uu * R + r] * factor[r] + added[r]; }
      store_unit(unit$U, m, sums, load_early(unit$U, m));
    }
//!end
  }
//!end
}
