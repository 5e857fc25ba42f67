// SPDX-License-Identifier: Apache-2.0
// A row of x made ready by one workgroup: rms_norm, then quantization as core/tensor/quantize.h says.
// Includers give store_word4(word4, packed) and store_scale(block, scale) for i8, else
// store_float4(word, values). Padding of x and norm is zero.
//
// MERGE: x is what attention left in up to `splits` pieces per row, see attention.wgsl.
const WORDS = (COLS + 3u) / 4u;                        // of four columns
const PADDED = ROW_WORDS4 * WEIGHTS_PER_WORD4 / 4u;    // with the padding of a weight row

//!if MERGE
// A pair of statistics: the largest score and the sum of weights.
fn stats_of(slot: u32, q_head: u32) -> vec2<f32> {
  let at = 2u * (X_STATS_AT + slot * N_HEADS + q_head);
  let both = x[at / 4u];
  return select(both.xy, both.zw, at % 4u != 0u);
}
// Four columns of the splits' sums, each weighted by how far its largest score is from the row's largest.
// Columns of one word may be of two heads where HEAD_DIM is no multiple of four.
fn merged(row: u32, word: u32, used: u32, q_head: u32) -> vec4<f32> {
  let slot = row * head[2];
  var most = -1e30;
  for (var s = 0u; s < used; s++) { most = max(most, stats_of(slot + s, q_head).x); }
  var total = 0.0;
  var value = vec4<f32>();
  for (var s = 0u; s < used; s++) {
    let stats = stats_of(slot + s, q_head);
    let factor = exp(stats.x - most);
    total += factor * stats.y;
    value += factor * x[(slot + s) * (X_STRIDE / 4u) + word];
  }
  return value / total;
}
fn x_word(row: u32, word: u32) -> vec4<f32> {
  if (head[2] == 1u) { return x[row * (X_STRIDE / 4u) + word]; }
  let used = row_kv_index(row) / head[3] + 1u;
  let first = min(4u * word / HEAD_DIM, N_HEADS - 1u);
  let v = merged(row, word, used, first);
  if (HEAD_DIM % 4u == 0u) { return v; }
  let next = merged(row, word, used, min(first + 1u, N_HEADS - 1u));
  let c = vec4<u32>(4u * word, 4u * word + 1u, 4u * word + 2u, 4u * word + 3u);
  let mixed = select(v, next, c / HEAD_DIM > vec4<u32>(first));
  return select(vec4<f32>(), mixed, c < vec4<u32>(COLS));
}
//!else
fn x_word(row: u32, word: u32) -> vec4<f32> { return x[row * (X_STRIDE / 4u) + word]; }
//!end

//!if WEIGHT_I8
// A thread takes sixteen columns: two threads must not write components of one vector.
const CHUNK = 4u;
const BLOCK_CHUNKS = BLOCK / 16u;
//!if !BLOCK_SHUFFLE
var<workgroup> block_most: array<atomic<u32>, BLOCKS>;  // bits of magnitudes, ordered as they are
//!end
fn pack_bytes(v: vec4<f32>) -> u32 {
  return pack4xI8(vec4<i32>(clamp(round(v), vec4<f32>(-127.0), vec4<f32>(127.0))));
}
//!else
const CHUNK = 1u;
//!end
const CHUNKS = PADDED / CHUNK;
const EACH = (CHUNKS + THREADS - 1u) / THREADS;

fn prepare_row(row: u32, tid: u32) {
  var held: array<vec4<f32>, EACH * CHUNK>;
//!if NORM
  var factors: array<vec4<f32>, EACH * CHUNK>;
//!end
  var squares = 0.0;
  for (var i = 0u; i < EACH * CHUNK; i++) {
    let w = (tid + i / CHUNK * THREADS) * CHUNK + i % CHUNK;
    held[i] = select(vec4<f32>(), x_word(row, min(w, WORDS - 1u)), w < WORDS);
//!if NORM
    factors[i] = norm[min(w, WORDS - 1u)];
//!end
    squares += dot(held[i], held[i]);
  }
//!if NORM
  let factor = 1.0 / sqrt(workgroup_sum(squares, tid) / f32(COLS) + EPS);
  for (var i = 0u; i < EACH * CHUNK; i++) { held[i] = held[i] * factor * factors[i]; }
//!end
//!if WEIGHT_I8
  var most: array<f32, EACH>;
  for (var i = 0u; i < EACH; i++) {
    let v = max(max(abs(held[4u * i]), abs(held[4u * i + 1u])), max(abs(held[4u * i + 2u]), abs(held[4u * i + 3u])));
    most[i] = max(max(v.x, v.y), max(v.z, v.w));
//!if BLOCK_SHUFFLE
    for (var step = 1u; step < BLOCK_CHUNKS; step *= 2u) { most[i] = max(most[i], subgroupShuffleXor(most[i], step)); }
//!else
    let chunk = tid + i * THREADS;
    if (chunk < CHUNKS) { atomicMax(&block_most[min(chunk / BLOCK_CHUNKS, BLOCKS - 1u)], bitcast<u32>(most[i])); }
//!end
  }
//!if !BLOCK_SHUFFLE
  workgroupBarrier();
//!end
  for (var i = 0u; i < EACH; i++) {
    let chunk = tid + i * THREADS;
//!if BLOCK_SHUFFLE
    let largest = most[i];
//!else
    let largest = bitcast<f32>(atomicLoad(&block_most[min(chunk / BLOCK_CHUNKS, BLOCKS - 1u)]));
//!end
    let scale = largest / 127.0;
    let tiny = scale < 1.17549435e-38;
    let inverse = select(127.0 / largest, 0.0, tiny);
    if (chunk < CHUNKS) {
      store_word4(chunk, vec4<u32>(pack_bytes(held[4u * i] * inverse), pack_bytes(held[4u * i + 1u] * inverse),
                                   pack_bytes(held[4u * i + 2u] * inverse), pack_bytes(held[4u * i + 3u] * inverse)));
    }
    if (chunk * CHUNK < WORDS && chunk % BLOCK_CHUNKS == 0u) { store_scale(chunk / BLOCK_CHUNKS, select(scale, 0.0, tiny)); }
  }
//!else
  for (var i = 0u; i < EACH; i++) {
    let w = tid + i * THREADS;
    if (w < PADDED) { store_float4(w, held[i]); }
  }
//!end
}
