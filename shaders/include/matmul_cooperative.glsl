// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for many rows of x with int8 cooperative matrices of 16 x 16 x 32
// (GL_NV_cooperative_matrix); per-row weight scales. prepare_rows.comp has left x in p.xq and p.xs.
//
// A workgroup of 8 subgroups makes 64 units (128 weight rows) by 128 rows of x; a subgroup makes 32
// units by 32 rows: 2 fragments of x by 2 of the units' first and 2 of their second rows. 64 columns at
// a time lie in shared memory; the next 64 are under way in registers. After each activation block
// the int32 sums are scaled into f32 ones. Which thread holds which element is the driver's secret,
// so scales are loaded as matrices too, and results go through shared memory.
#extension GL_NV_cooperative_matrix : require
#extension GL_NV_integer_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require

const uint TILE_UNITS = 64, TILE_M = 128;
const uint STEP_WORDS4 = 4;             // 64 columns
const uint LINE = STEP_WORDS4 + 1;      // 16-byte words of a row in shared memory, off the banks
const uint STEPS_PER_BLOCK = BLOCK / 64;

shared uvec4 tile_x[TILE_M * LINE];
shared uvec4 tile_w[2 * TILE_UNITS * LINE];
shared float tile_scale[TILE_M * 16];   // each row's scale, 16 times
shared float staged[8 * 512];           // per subgroup: a fragment of first rows, one of second

uint weight_row(uint line) {
  const uvec2 pair = unit_rows(min(gl_WorkGroupID.x * TILE_UNITS + line % TILE_UNITS, UNITS - 1));
  return line < TILE_UNITS ? pair.x : pair.y;
}

void main() {
  const uint n_x = GATHER ? p.head.v.n_selected : p.head.v.n_rows;
  if (gl_WorkGroupID.y * TILE_M >= n_x) return;
  const uint t = thread_index();
  const uint sub_m = gl_SubgroupID % 4 * 32, sub_u = gl_SubgroupID / 4 * 32;

  // This thread's words of a step: two of x, two of the weights.
  uint x_at[2], w_at[2], to[2];
  [[unroll]] for (uint i = 0; i < 2; ++i) {
    const uint line = (t + 256 * i) / STEP_WORDS4, part = t % STEP_WORDS4;
    x_at[i] = (gl_WorkGroupID.y * TILE_M + line) * ROW_WORDS4 + part;
    w_at[i] = weight_row(line) * ROW_WORDS4 + part;
    to[i] = line * LINE + part;
  }
  uvec4 x_next[2], w_next[2];
  [[unroll]] for (uint i = 0; i < 2; ++i) {
    x_next[i] = p.xq.v[x_at[i]];
    w_next[i] = p.weights.v[w_at[i]];
  }

  fcoopmatNV<32, gl_ScopeSubgroup, 16, 16> acc[8];
  icoopmatNV<32, gl_ScopeSubgroup, 16, 16> sum[8];
  [[unroll]] for (uint i = 0; i < 8; ++i) acc[i] = fcoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0.0);
  uint step = 0;
  for (uint k = 0; k < ROW_WORDS4; k += STEP_WORDS4, ++step) {
    const bool block_begins = step % STEPS_PER_BLOCK == 0;
    const bool block_ends = step % STEPS_PER_BLOCK == STEPS_PER_BLOCK - 1 || k + STEP_WORDS4 >= ROW_WORDS4;
    barrier();
    [[unroll]] for (uint i = 0; i < 2; ++i) {
      tile_x[to[i]] = x_next[i];
      tile_w[to[i]] = w_next[i];
    }
    if (block_begins) {
      for (uint i = t; i < TILE_M * 16; i += 256) {
        tile_scale[i] = p.xs.v[(gl_WorkGroupID.y * TILE_M + i / 16) * BLOCKS + min(step / STEPS_PER_BLOCK, BLOCKS - 1)];
      }
    }
    barrier();
    if (k + STEP_WORDS4 < ROW_WORDS4) {
      [[unroll]] for (uint i = 0; i < 2; ++i) {
        x_next[i] = p.xq.v[x_at[i] + k + STEP_WORDS4];
        w_next[i] = p.weights.v[w_at[i] + k + STEP_WORDS4];
      }
    }
    if (block_begins) {
      [[unroll]] for (uint i = 0; i < 8; ++i) sum[i] = icoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0);
    }
    [[unroll]] for (uint half_step = 0; half_step < 2; ++half_step) {  // 32 columns each
      icoopmatNV<8, gl_ScopeSubgroup, 16, 32> a[2];
      [[unroll]] for (uint i = 0; i < 2; ++i) {
        coopMatLoadNV(a[i], tile_x, (sub_m + 16 * i) * LINE + 2 * half_step, LINE, false);
      }
      [[unroll]] for (uint j = 0; j < 4; ++j) {  // 0, 1: first rows; 2, 3: second rows
        icoopmatNV<8, gl_ScopeSubgroup, 32, 16> b;
        const uint line = sub_u + 16 * (j % 2) + TILE_UNITS * (j / 2);
        coopMatLoadNV(b, tile_w, line * LINE + 2 * half_step, LINE, true);
        [[unroll]] for (uint i = 0; i < 2; ++i) sum[4 * i + j] = coopMatMulAddNV(a[i], b, sum[4 * i + j]);
      }
    }
    if (block_ends) {
      [[unroll]] for (uint i = 0; i < 2; ++i) {
        fcoopmatNV<32, gl_ScopeSubgroup, 16, 16> scale;
        coopMatLoadNV(scale, tile_scale, (sub_m + 16 * i) * 16, 16, false);
        [[unroll]] for (uint j = 0; j < 4; ++j) {
          [[unroll]] for (uint e = 0; e < scale.length(); ++e) {
            acc[4 * i + j][e] += scale[e] * float(sum[4 * i + j][e]);
          }
        }
      }
    }
  }

  const uint stage = gl_SubgroupID * 512;
  [[unroll]] for (uint i = 0; i < 2; ++i) {
    [[unroll]] for (uint j = 0; j < 2; ++j) {
      subgroupBarrier();
      coopMatStoreNV(acc[4 * i + j], staged, stage, 16, false);
      coopMatStoreNV(acc[4 * i + j + 2], staged, stage + 256, 16, false);
      memoryBarrierShared();
      subgroupBarrier();
      for (uint e = gl_SubgroupInvocationID; e < 256; e += SUBGROUP) {
        const uint m = gl_WorkGroupID.y * TILE_M + sub_m + 16 * i + e / 16;
        const uint unit = gl_WorkGroupID.x * TILE_UNITS + sub_u + 16 * j + e % 16;
        if (m >= n_x || unit >= UNITS) continue;
        const uvec2 row = unit_rows(unit);
        float a = staged[stage + e] * p.scales.v[row.x], b = staged[stage + 256 + e] * p.scales.v[row.y];
        if (BIAS) {
          a += p.bias.v[row.x];
          b += p.bias.v[row.y];
        }
        store_unit(unit, m, a, b, load_early(unit, m));
      }
    }
  }
}
