// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for many rows of x, which prepare_rows.comp has left in p.xq and p.xs.
// A workgroup of 256 threads makes 32 units (64 weight rows) by 64 rows of x; a thread makes two
// units, 16 apart, by four rows of x, 16 apart. STEP columns at a time lie in shared memory,
// transposed, so that neighbouring threads read neighbouring words.

const uint TILE_UNITS = 32, TILE_M = 64, LINE = 65;  // 65: columns of it fall on different banks

#ifdef WEIGHT_I8
const uint STEP_WORDS4 = 2;  // 32 columns
const uint STEP_ROWS = STEP_WORDS4 * 4;
shared uint tile_w[STEP_ROWS * LINE];
shared uint tile_x[STEP_ROWS * LINE];
#else
const uint STEP_WORDS4 = 16 / WEIGHTS_PER_WORD4;  // 16 columns
const uint STEP_ROWS = 16;
shared float tile_w[STEP_ROWS * LINE];
shared float tile_x[STEP_ROWS * LINE];
#endif

// Row `line` of the tile: the first 32 are the units' first rows, then their second rows.
uint weight_row(uint line) {
  const uint unit = min(gl_WorkGroupID.y * TILE_UNITS + line % TILE_UNITS, UNITS - 1);
  const uvec2 pair = unit_rows(unit);
  return line < TILE_UNITS ? pair.x : pair.y;
}

void load_tiles(uint k) {
  const uint t = thread_index();
  if (t < 64 * STEP_WORDS4) {
    const uint line = t / STEP_WORDS4, part = t % STEP_WORDS4;
    const uvec4 w = p.weights.v[weight_row(line) * ROW_WORDS4 + k + part];
#if defined(WEIGHT_I8)
    [[unroll]] for (uint j = 0; j < 4; ++j) tile_w[(part * 4 + j) * LINE + line] = w[j];
#elif defined(WEIGHT_F16)
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      const vec2 pair = unpackHalf2x16(w[j]);
      tile_w[(part * 8 + 2 * j) * LINE + line] = pair.x;
      tile_w[(part * 8 + 2 * j + 1) * LINE + line] = pair.y;
    }
#else
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      tile_w[(part * 4 + j) * LINE + line] = uintBitsToFloat(w[j]);
    }
#endif
  }
#ifdef WEIGHT_I8
  const uint s = t - 64 * STEP_WORDS4;
  if (t >= 64 * STEP_WORDS4 && s < 64 * STEP_WORDS4) {
    const uint line = s / STEP_WORDS4, part = s % STEP_WORDS4;
    const uvec4 x = p.xq.v[(gl_WorkGroupID.x * TILE_M + line) * ROW_WORDS4 + k + part];
    [[unroll]] for (uint j = 0; j < 4; ++j) tile_x[(part * 4 + j) * LINE + line] = x[j];
  }
#else
  const uint line = t / 4, part = t % 4;
  const uint floats4 = ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4;
  const uvec4 x = p.xq.v[(gl_WorkGroupID.x * TILE_M + line) * floats4 +
                         k * (WEIGHTS_PER_WORD4 / 4) + part];
  [[unroll]] for (uint j = 0; j < 4; ++j) {
    tile_x[(part * 4 + j) * LINE + line] = uintBitsToFloat(x[j]);
  }
#endif
}

void main() {
  const uint n_x = GATHER ? p.head.v.n_selected : p.head.v.n_rows;
  if (gl_WorkGroupID.x * TILE_M >= n_x) return;
  const uint tu = thread_index() % 16, tm = thread_index() / 16;
  float acc[4][4];  // [unit 0 first, unit 1 first, unit 0 second, unit 1 second][row of x]
  [[unroll]] for (uint r = 0; r < 4; ++r) {
    [[unroll]] for (uint m = 0; m < 4; ++m) acc[r][m] = 0.0;
  }
#ifdef WEIGHT_I8
  int sum[4][4];
  const uint steps_per_block = BLOCK / 32;
#endif
  uint step = 0;
  for (uint k = 0; k < ROW_WORDS4; k += STEP_WORDS4, ++step) {
    barrier();
    load_tiles(k);
    barrier();
#ifdef WEIGHT_I8
    if (step % steps_per_block == 0) {
      [[unroll]] for (uint r = 0; r < 4; ++r) {
        [[unroll]] for (uint m = 0; m < 4; ++m) sum[r][m] = 0;
      }
    }
#endif
    [[unroll]] for (uint c = 0; c < STEP_ROWS; ++c) {
#ifdef WEIGHT_I8
      uint w[4], x[4];
#else
      float w[4], x[4];
#endif
      [[unroll]] for (uint i = 0; i < 4; ++i) {
        w[i] = tile_w[c * LINE + tu + 16 * i];
        x[i] = tile_x[c * LINE + tm + 16 * i];
      }
      [[unroll]] for (uint r = 0; r < 4; ++r) {
        [[unroll]] for (uint m = 0; m < 4; ++m) {
#ifdef WEIGHT_I8
          sum[r][m] = dot4(w[r], x[m], sum[r][m]);
#else
          acc[r][m] += w[r] * x[m];
#endif
        }
      }
    }
#ifdef WEIGHT_I8
    const uint block = k * 16 / BLOCK;
    if ((step % steps_per_block == steps_per_block - 1 || k + STEP_WORDS4 >= ROW_WORDS4) &&
        block < BLOCKS) {
      [[unroll]] for (uint m = 0; m < 4; ++m) {
        const float scale = p.xs.v[(gl_WorkGroupID.x * TILE_M + tm + 16 * m) * BLOCKS + block];
        [[unroll]] for (uint r = 0; r < 4; ++r) {
          float s = scale;
          if (GROUP != 0) s *= p.scales.v[weight_row(tu + 16 * r) * GROUPS + block];
          acc[r][m] += s * float(sum[r][m]);
        }
      }
    }
#endif
  }
  [[unroll]] for (uint u = 0; u < 2; ++u) {
    const uint unit = gl_WorkGroupID.y * TILE_UNITS + tu + 16 * u;
    if (unit >= UNITS) continue;
    const uvec2 row = unit_rows(unit);
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const uint m = gl_WorkGroupID.x * TILE_M + tm + 16 * i;
      if (m >= n_x) continue;
      float a = acc[u][i], b = acc[u + 2][i];
#ifdef WEIGHT_I8
      if (GROUP == 0) {
        a *= p.scales.v[row.x];
        b *= p.scales.v[row.y];
      }
#endif
      if (BIAS) {
        a += p.bias.v[row.x];
        b += p.bias.v[row.y];
      }
      store_unit(unit, m, a, b, load_early(unit, m));
    }
  }
}
