// SPDX-License-Identifier: Apache-2.0
// y[m][r] = x[m] . weights[r] for many rows of x with int8 cooperative matrices of 16 x 16 x 32
// (GL_NV_cooperative_matrix); per-row weight scales. prepare_rows.comp has left x in p.xq and p.xs.
//
// A workgroup of 8 subgroups makes 128 rows of x by 64 units (128 weight rows); a subgroup makes 32 by
// 32: 2 fragments of x by 2 of the units' first and 2 of their second rows. Workgroups that differ in
// rows of x alone run side by side and so share the weights in the device's cache. An activation
// block (128 columns) at a time lies in shared memory, the next is under way in registers; its int32
// sums are then scaled into f32 ones. Which thread holds which element is the driver's secret, so
// scales are loaded as matrices too, and results go through shared memory.
#extension GL_NV_cooperative_matrix : require
#extension GL_NV_integer_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require

const uint TILE_UNITS = 64, TILE_M = 128;
const uint STEP_WORDS4 = 8;             // 128 columns: an activation block
const uint LINE = STEP_WORDS4 + 1;      // 16-byte words of a row in shared memory, off the banks
const uint EACH = 128 * STEP_WORDS4 / 256;
const uint W_AT = TILE_M * LINE;

shared uvec4 tile[(TILE_M + 2 * TILE_UNITS) * LINE];  // x, then weights; in the end 512 floats a subgroup
shared float tile_scale[TILE_M * 16];                 // each row's scale, 16 times

uint weight_row(uint line) {
  const uvec2 pair = unit_rows(min(gl_WorkGroupID.y * TILE_UNITS + line % TILE_UNITS, UNITS - 1));
  return line < TILE_UNITS ? pair.x : pair.y;
}

float staged(uint at) { return uintBitsToFloat(tile[at / 4][at % 4]); }

void main() {
  const uint n_x = GATHER ? p.head.v.n_selected : p.head.v.n_rows;
  if (gl_WorkGroupID.x * TILE_M >= n_x) return;
  const uint t = thread_index();
  const uint sub_m = gl_SubgroupID % 4 * 32, sub_u = gl_SubgroupID / 4 * 32;

  // This thread's words of a step, of x and of the weights: one part of every 32nd line.
  const uint part = t % STEP_WORDS4;
  uint x_at[EACH], w_at[EACH];
  uvec4 x_next[EACH], w_next[EACH];
  [[unroll]] for (uint i = 0; i < EACH; ++i) {
    const uint line = t / STEP_WORDS4 + 32 * i;
    x_at[i] = (gl_WorkGroupID.x * TILE_M + line) * ROW_WORDS4 + part;
    w_at[i] = weight_row(line) * ROW_WORDS4 + part;
    x_next[i] = part < ROW_WORDS4 ? p.xq.v[x_at[i]] : uvec4(0);
    w_next[i] = part < ROW_WORDS4 ? p.weights.v[w_at[i]] : uvec4(0);
  }

  fcoopmatNV<32, gl_ScopeSubgroup, 16, 16> acc[8];
  [[unroll]] for (uint i = 0; i < 8; ++i) acc[i] = fcoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0.0);
  for (uint block = 0; block < BLOCKS; ++block) {
    barrier();
    [[unroll]] for (uint i = 0; i < EACH; ++i) {
      const uint to = (t / STEP_WORDS4 + 32 * i) * LINE + part;
      tile[to] = x_next[i];
      tile[W_AT + to] = w_next[i];
    }
    for (uint i = t; i < TILE_M * 16; i += 256) {
      tile_scale[i] = p.xs.v[(gl_WorkGroupID.x * TILE_M + i / 16) * BLOCKS + block];
    }
    barrier();
    const uint k = (block + 1) * STEP_WORDS4;
    [[unroll]] for (uint i = 0; i < EACH; ++i) {
      if (k + part < ROW_WORDS4) {
        x_next[i] = p.xq.v[x_at[i] + k];
        w_next[i] = p.weights.v[w_at[i] + k];
      } else {
        x_next[i] = uvec4(0);
        w_next[i] = uvec4(0);
      }
    }
    icoopmatNV<32, gl_ScopeSubgroup, 16, 16> sum[8];
    [[unroll]] for (uint i = 0; i < 8; ++i) sum[i] = icoopmatNV<32, gl_ScopeSubgroup, 16, 16>(0);
    [[unroll]] for (uint quarter = 0; quarter < 4; ++quarter) {  // 32 columns each
      icoopmatNV<8, gl_ScopeSubgroup, 16, 32> a[2];
      [[unroll]] for (uint i = 0; i < 2; ++i) {
        coopMatLoadNV(a[i], tile, (sub_m + 16 * i) * LINE + 2 * quarter, LINE, false);
      }
      [[unroll]] for (uint j = 0; j < 4; ++j) {  // 0, 1: first rows; 2, 3: second rows
        icoopmatNV<8, gl_ScopeSubgroup, 32, 16> b;
        const uint line = sub_u + 16 * (j % 2) + TILE_UNITS * (j / 2);
        coopMatLoadNV(b, tile, W_AT + line * LINE + 2 * quarter, LINE, true);
        [[unroll]] for (uint i = 0; i < 2; ++i) sum[4 * i + j] = coopMatMulAddNV(a[i], b, sum[4 * i + j]);
      }
    }
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

  const uint stage = gl_SubgroupID * 512;  // floats
  barrier();
  [[unroll]] for (uint i = 0; i < 2; ++i) {
    [[unroll]] for (uint j = 0; j < 2; ++j) {
      subgroupBarrier();
      coopMatStoreNV(acc[4 * i + j], tile, stage / 4, 4, false);
      coopMatStoreNV(acc[4 * i + j + 2], tile, stage / 4 + 64, 4, false);
      memoryBarrierShared();
      subgroupBarrier();
      for (uint e = gl_SubgroupInvocationID; e < 256; e += SUBGROUP) {
        const uint m = gl_WorkGroupID.x * TILE_M + sub_m + 16 * i + e / 16;
        const uint unit = gl_WorkGroupID.y * TILE_UNITS + sub_u + 16 * j + e % 16;
        if (m >= n_x || unit >= UNITS) continue;
        const uvec2 row = unit_rows(unit);
        float a = staged(stage + e) * p.scales.v[row.x], b = staged(stage + 256 + e) * p.scales.v[row.y];
        if (BIAS) {
          a += p.bias.v[row.x];
          b += p.bias.v[row.y];
        }
        store_unit(unit, m, a, b, load_early(unit, m));
      }
    }
  }
}
