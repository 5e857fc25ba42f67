// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for many rows of x on cooperative matrices (GL_NV_cooperative_matrix): int8
// ones of 16 x 16 x 32 with int32 sums, or f16 ones of 16 x 8 x 16 with f32 sums. prepare_rows.comp
// has left x in p.xq and p.xs: for i8 quantized; for f16 scaled by a power of two and split into
// two halves, 22 bits together, each part in a line of its own.
//
// A workgroup makes M rows of x by TILE_UNITS units; a subgroup makes 32 rows by U units. Workgroups that
// differ in rows of x alone run side by side and so share the weights in the device's cache. A step takes
// 64 bytes of every line: one step lies in shared memory, the next is being stored beside it, the one
// after that is under way in registers, so one barrier a step will do. int32 sums of a block are
// scaled into f32 ones. Which thread holds which element is the driver's secret, so scales are
// loaded as matrices too (with stride 0), and results go through shared memory. Matrices are indexed by
// constants alone, in loops small enough to be unrolled: else they would lie in memory.
#extension GL_NV_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#ifdef WEIGHT_I8
#extension GL_NV_integer_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

#ifdef WEIGHT_I8
const uint PARTS = 1;         // lines of a row of x
const uint FRAGMENT = 16;     // weight rows of a matrix
#define MatrixX icoopmatNV<8, gl_ScopeSubgroup, 16, 32>
#define MatrixW icoopmatNV<8, gl_ScopeSubgroup, 32, FRAGMENT>
#define MatrixSum icoopmatNV<32, gl_ScopeSubgroup, 16, FRAGMENT>
#else
const uint PARTS = 2;
const uint FRAGMENT = 8;  // not 16: a type that serves as x and as weights is turned around at each use
#define MatrixX fcoopmatNV<16, gl_ScopeSubgroup, 16, 16>
#define MatrixW fcoopmatNV<16, gl_ScopeSubgroup, 16, FRAGMENT>
#endif
#define MatrixAcc fcoopmatNV<32, gl_ScopeSubgroup, 16, FRAGMENT>

const uint THREADS = gl_WorkGroupSize.x;
const uint SUBS_M = M / 32;                    // subgroups side by side along the rows of x
const uint TILE_UNITS = THREADS / 32 / SUBS_M * U;
const uint W_FRAGMENTS = 2 * U / FRAGMENT;     // of the units' first rows, then of their second
const uint STEP_WORDS4 = 4;
const uint LINE = STEP_WORDS4 + 1;             // 16-byte words of a line in shared memory, off the banks
const uint X_LINES = M * PARTS, W_LINES = 2 * TILE_UNITS;
const uint LINES_AT_ONCE = THREADS / STEP_WORDS4;  // that the threads load side by side
const uint X_EACH = X_LINES / LINES_AT_ONCE, W_EACH = W_LINES / LINES_AT_ONCE;
const uint STAGE = (X_LINES + W_LINES) * LINE;
const uint STEPS = ROW_WORDS4 / STEP_WORDS4;   // rows are padded to 64 bytes

shared uvec4 tile[2 * STAGE];  // x, then weights; in the end sums of half of the rows

uint weight_row(uint line) {
  const uvec2 pair = unit_rows(min(gl_WorkGroupID.y * TILE_UNITS + line % TILE_UNITS, UNITS - 1));
  return line < TILE_UNITS ? pair.x : pair.y;
}

uint x_at[X_EACH], w_at[W_EACH];
uvec4 x_next[X_EACH], w_next[W_EACH];

void find_lines() {
  const uint part = thread_index() % STEP_WORDS4, first = thread_index() / STEP_WORDS4;
  [[unroll]] for (uint i = 0; i < X_EACH; ++i) {
    const uint line = first + i * LINES_AT_ONCE;
    x_at[i] = ((gl_WorkGroupID.x * M + line % M) * PARTS + line / M) * ROW_WORDS4 + part;
  }
  [[unroll]] for (uint i = 0; i < W_EACH; ++i) {
    w_at[i] = weight_row(first + i * LINES_AT_ONCE) * ROW_WORDS4 + part;
  }
}

// This thread's words of a step; zeros after the last.
void load_words(uint step) {
  const uint k = step * STEP_WORDS4;
  const bool there = step < STEPS;
  [[unroll]] for (uint i = 0; i < X_EACH; ++i) x_next[i] = there ? p.xq.v[x_at[i] + k] : uvec4(0);
  [[unroll]] for (uint i = 0; i < W_EACH; ++i) w_next[i] = there ? p.weights.v[w_at[i] + k] : uvec4(0);
}

void store_words(uint stage) {
  const uint to = stage * STAGE + thread_index() / STEP_WORDS4 * LINE + thread_index() % STEP_WORDS4;
  [[unroll]] for (uint i = 0; i < X_EACH; ++i) tile[to + i * LINES_AT_ONCE * LINE] = x_next[i];
  [[unroll]] for (uint i = 0; i < W_EACH; ++i) tile[to + (X_LINES + i * LINES_AT_ONCE) * LINE] = w_next[i];
}

#ifdef WEIGHT_I8
const uint STEP_BLOCKS = BLOCK < 64 ? 64 / BLOCK : 1;  // that a step touches
shared float x_scales[2 * STEP_BLOCKS * M];
shared float w_scales[GROUP == 0 ? 1 : 2 * STEP_BLOCKS * W_LINES];
float x_scale_next[STEP_BLOCKS], w_scale_next[STEP_BLOCKS];

// A block of 128 columns ends with every second step, whose scales are those.
bool has_scales(uint stage) { return BLOCK < 128 || stage == 1; }

void load_scales(uint step, uint stage) {
  if (!has_scales(stage)) return;
  const uint t = thread_index();
  [[unroll]] for (uint b = 0; b < STEP_BLOCKS; ++b) {
    const uint block = step * 64 / BLOCK + b;
    const bool there = block < BLOCKS;
    x_scale_next[b] = there && t < M ? p.xs.v[(gl_WorkGroupID.x * M + t) * BLOCKS + block] : 0.0;
    if (GROUP != 0) {
      w_scale_next[b] = there && t < W_LINES ? p.scales.v[weight_row(t) * GROUPS + block] : 0.0;
    }
  }
}

void store_scales(uint stage) {
  if (!has_scales(stage)) return;
  const uint t = thread_index();
  [[unroll]] for (uint b = 0; b < STEP_BLOCKS; ++b) {
    if (t < M) x_scales[(stage * STEP_BLOCKS + b) * M + t] = x_scale_next[b];
    if (GROUP != 0 && t < W_LINES) w_scales[(stage * STEP_BLOCKS + b) * W_LINES + t] = w_scale_next[b];
  }
}
#else
void load_scales(uint step, uint stage) {}
void store_scales(uint stage) {}
#endif

const uint FRAGMENTS = 2 * W_FRAGMENTS;
MatrixAcc acc[FRAGMENTS];
uint sub_m, sub_u;  // where in the tile this subgroup works

// The first line of fragment j of the weights.
uint w_line(uint j) {
  const uint n = W_FRAGMENTS / 2;
  return sub_u + FRAGMENT * (j % n) + TILE_UNITS * (j / n);
}

#ifdef WEIGHT_I8
MatrixSum sum[FRAGMENTS];

void multiply_half(uint at) {
  MatrixX a[2];
  [[unroll]] for (uint i = 0; i < 2; ++i) coopMatLoadNV(a[i], tile, at + (sub_m + 16 * i) * LINE, LINE, false);
  [[unroll]] for (uint j = 0; j < W_FRAGMENTS; ++j) {
    MatrixW b;
    coopMatLoadNV(b, tile, at + (X_LINES + w_line(j)) * LINE, LINE, true);
    [[unroll]] for (uint i = 0; i < 2; ++i) sum[2 * j + i] = coopMatMulAddNV(a[i], b, sum[2 * j + i]);
  }
}

void clear_sums() {
  [[unroll]] for (uint i = 0; i < FRAGMENTS; ++i) sum[i] = MatrixSum(0);
}

void scale_sums(uint at) {
  [[unroll]] for (uint i = 0; i < 2; ++i) {
    MatrixAcc scale;
    coopMatLoadNV(scale, x_scales, at * M + sub_m + 16 * i, 0, true);
    [[unroll]] for (uint j = 0; j < W_FRAGMENTS; ++j) {
      if (GROUP == 0) {
        [[unroll]] for (uint e = 0; e < scale.length(); ++e) {
          acc[2 * j + i][e] += scale[e] * float(sum[2 * j + i][e]);
        }
      } else {
        MatrixAcc by;
        coopMatLoadNV(by, w_scales, at * W_LINES + w_line(j), 0, false);
        [[unroll]] for (uint e = 0; e < scale.length(); ++e) {
          acc[2 * j + i][e] += scale[e] * by[e] * float(sum[2 * j + i][e]);
        }
      }
    }
  }
}

void multiply_first(uint stage) {
  if (BLOCK <= 64 || stage == 0) clear_sums();
  multiply_half(stage * STAGE);
  if (BLOCK == 32) {
    scale_sums(stage * STEP_BLOCKS);
    clear_sums();
  }
}

void multiply_second(uint stage) {
  multiply_half(stage * STAGE + 2);
  if (BLOCK <= 64 || stage == 1) scale_sums(stage * STEP_BLOCKS + STEP_BLOCKS - 1);
}
#else
void multiply_half(uint at) {
  MatrixX high[2], low[2];
  [[unroll]] for (uint i = 0; i < 2; ++i) {
    coopMatLoadNV(high[i], tile, at + (sub_m + 16 * i) * LINE, LINE, false);
    coopMatLoadNV(low[i], tile, at + (M + sub_m + 16 * i) * LINE, LINE, false);
  }
  [[unroll]] for (uint j = 0; j < W_FRAGMENTS; ++j) {
    MatrixW b;
    coopMatLoadNV(b, tile, at + (X_LINES + w_line(j)) * LINE, LINE, true);
    [[unroll]] for (uint i = 0; i < 2; ++i) acc[2 * j + i] = coopMatMulAddNV(low[i], b, acc[2 * j + i]);
    [[unroll]] for (uint i = 0; i < 2; ++i) acc[2 * j + i] = coopMatMulAddNV(high[i], b, acc[2 * j + i]);
  }
}

void multiply_first(uint stage) { multiply_half(stage * STAGE); }
void multiply_second(uint stage) { multiply_half(stage * STAGE + 2); }
#endif

// The next step from registers to shared memory, the one after it to registers.
void pass_on(uint step, uint stage) {
  store_words(1 - stage);
  store_scales(1 - stage);
  load_words(step + 2);
  load_scales(step + 2, stage);
}

// Multiplies step `step`, which lies in `stage` once all threads have arrived. Few, large subgroups do
// better to multiply first.
void advance(uint step, uint stage) {
  const bool late = U > 16;
  barrier();
  if (!late) pass_on(step, stage);
  multiply_first(stage);
  if (late) pass_on(step, stage);
  multiply_second(stage);
}

const uint OUT_LINE = W_LINES / 4 + 1;               // 16-byte words of a row of sums in shared memory
const uint OUT_ROWS = M / 2;                         // at a time
const uint OUT_EACH = OUT_ROWS * TILE_UNITS / THREADS;

// Sums of 16 rows of each subgroup's 32 to shared memory.
void stage_sums(uint i) {
  barrier();
  [[unroll]] for (uint j = 0; j < W_FRAGMENTS; ++j) {
    coopMatStoreNV(acc[2 * j + i], tile, (sub_m / 2) * OUT_LINE + w_line(j) / 4, OUT_LINE, false);
  }
  barrier();
}

float staged(uint row, uint line) { return uintBitsToFloat(tile[row * OUT_LINE + line / 4][line % 4]); }

// Row of x that line `row` of the staged sums belongs to.
uint x_row(uint row, uint i) { return gl_WorkGroupID.x * M + row / 16 * 32 + 16 * i + row % 16; }

// A thread finishes one unit for every n-th row; what it needs for that it loads together.
void finish(uint i, uint n_x) {
  const uint u = thread_index() % TILE_UNITS, first = thread_index() / TILE_UNITS;
  const uint unit = gl_WorkGroupID.y * TILE_UNITS + u;
  if (unit >= UNITS) return;
  const uvec2 line = unit_rows(unit);
  vec2 factor = vec2(1.0), added = vec2(0.0);
#ifdef WEIGHT_I8
  if (GROUP == 0) factor = vec2(p.scales.v[line.x], p.scales.v[line.y]);
#endif
  if (BIAS) added = vec2(p.bias.v[line.x], p.bias.v[line.y]);
  Early early[OUT_EACH];
  [[unroll]] for (uint k = 0; k < OUT_EACH; ++k) {
    early[k] = load_early(unit, min(x_row(first + k * (THREADS / TILE_UNITS), i), n_x - 1));
  }
  [[unroll]] for (uint k = 0; k < OUT_EACH; ++k) {
    const uint row = first + k * (THREADS / TILE_UNITS), m = x_row(row, i);
    vec2 y = vec2(staged(row, u), staged(row, TILE_UNITS + u));
#ifndef WEIGHT_I8
    y *= p.xs.v[m];
#endif
    y = y * factor + added;
    if (m < n_x) store_unit(unit, m, y.x, y.y, early[k]);
  }
}

void main() {
  const uint n_x = GATHER ? p.head.v.n_selected : p.head.v.n_rows;
  if (gl_WorkGroupID.x * M >= n_x) return;
  sub_m = gl_SubgroupID % SUBS_M * 32;
  sub_u = gl_SubgroupID / SUBS_M * U;
  find_lines();
  load_words(0);
  load_scales(0, 0);
  store_words(0);
  store_scales(0);
  load_words(1);
  load_scales(1, 1);
  [[unroll]] for (uint i = 0; i < FRAGMENTS; ++i) acc[i] = MatrixAcc(0.0);
  for (uint step = 0; step < STEPS; step += 2) {
    advance(step, 0);
    advance(step + 1, 1);
  }
  stage_sums(0);
  finish(0, n_x);
  stage_sums(1);
  finish(1, n_x);
}
