// SPDX-License-Identifier: Apache-2.0
// A step in plain TypeScript, op by op and in double precision: what the kernels are held to, and small random
// models to hold them to it. Never tuned.
import type { BufferName, GraphOp, GraphTable, GraphWeight } from './graph_table.ts';
import { floatFromHalf, halfFromFloat } from './half.ts';

export interface TinyShape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly layers: number;
  readonly dtype: GraphWeight['dtype'];
  readonly group: number;
  readonly bias: boolean;
}

export interface TinyModel {
  readonly graph: GraphTable;
  readonly shards: readonly Uint8Array<ArrayBuffer>[];
}

/** A model with random weights, all of it in one shard; the same for a seed. */
export function tinyModel(s: TinyShape, seed = 1): TinyModel {
  const weights: GraphWeight[] = [];
  const pieces: { at: number; bytes: Uint8Array }[] = [];
  let end = 0;
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const place = (bytes: Uint8Array) => {
    const at = end;
    pieces.push({ at, bytes });
    end = Math.ceil((end + bytes.length) / 256) * 256;
    return at;
  };
  const add = (name: string, rows: number, cols: number, dtype: GraphWeight['dtype'], middle = 0) => {
    const width = { f32: 4, f16: 2, i8: 1 }[dtype];
    const rowBytes = Math.ceil((cols * width) / 64) * 64;
    const scalesPerRow = dtype !== 'i8' ? 0 : s.group === 0 ? 1 : Math.ceil(cols / s.group);
    const values = new Uint8Array(rows * rowBytes);
    const view = new DataView(values.buffer);
    const spread = middle === 0 ? 1.5 / Math.sqrt(cols) : 0.3;
    for (let r = 0; r < rows; ++r) {
      for (let c = 0; c < cols; ++c) {
        const at = r * rowBytes + c * width;
        const v = middle + spread * random();
        if (dtype === 'f32') view.setFloat32(at, v, true);
        else if (dtype === 'f16') view.setUint16(at, halfFromFloat(v), true);
        else view.setInt8(at, Math.round(127 * random()));
      }
    }
    const scales = Float32Array.from({ length: rows * scalesPerRow }, () => (spread * (1 + 0.5 * random())) / 127);
    const offset = place(values);
    const scaleOffset = scales.length > 0 ? place(new Uint8Array(scales.buffer)) : 0;
    weights.push({ name, dtype, rows, cols, group: dtype === 'i8' ? s.group : 0, rowBytes, scalesPerRow,
      parts: [{ shard: 0, offset, scaleOffset, rowBegin: 0, rows }] });
    return weights.length - 1;
  };
  const q = s.heads * s.headDim;
  const norm = () => add('norm', 1, s.hidden, 'f32', 1);
  const bias = (rows: number) => (s.bias ? add('bias', 1, rows, 'f32') : -1);
  const op = (kind: GraphOp['kind'], layer: number, input: GraphOp['in'], out: BufferName, weight: number,
    biasAt = -1, normAt = -1, last = false): GraphOp =>
    ({ kind, layer, in: input, out, weight, bias: biasAt, norm: normAt, selected: last, gather: last });
  const embedding = add('token_embedding', s.vocab, s.hidden, s.dtype);
  const ops = [op('embed', -1, '-', 'hidden', embedding)];
  for (let l = 0; l < s.layers; ++l) {
    const qkv = q + 2 * s.kvHeads * s.headDim;
    ops.push(
      op('qkv_rope', l, 'hidden', 'query', add('qkv', qkv, s.hidden, s.dtype), bias(qkv), norm()),
      op('attention', l, 'query', 'mixed', -1),
      op('matmul_add', l, 'mixed', 'hidden', add('out', s.hidden, q, s.dtype), bias(s.hidden)),
      op('gate_up_silu', l, 'hidden', 'gated', add('gate_up', 2 * s.intermediate, s.hidden, s.dtype), bias(2 * s.intermediate), norm()),
      op('matmul_add', l, 'gated', 'hidden', add('down', s.hidden, s.intermediate, s.dtype), bias(s.hidden)),
    );
  }
  // The last norm as an op of its own, as where a product can't take it in.
  ops.push({ ...op('rms_norm', -1, 'hidden', 'normed', -1, -1, norm(), true) });
  ops.push({ ...op('logits', -1, 'normed', 'logits', embedding, -1, -1, true), gather: false });
  const shard = new Uint8Array(end);
  for (const p of pieces) shard.set(p.bytes, p.at);
  const invFreq = Array.from({ length: s.headDim / 2 }, (_, i) => Math.fround(100 ** ((-2 * i) / s.headDim)));
  const graph: GraphTable = {
    version: 1,
    config: { hidden: s.hidden, intermediate: s.intermediate, layers: s.layers, heads: s.heads, kvHeads: s.kvHeads,
      headDim: s.headDim, vocab: s.vocab, maxPositions: 4096, context: 4096, eps: 1e-5 },
    rope: { invFreq, attentionFactor: 1 },
    buffers: { hidden: s.hidden, normed: s.hidden, query: q, mixed: q, gated: s.intermediate, logits: s.vocab },
    shards: [{ file: 'shards/00000.bin', bytes: shard.length, sha256: '' }], weights, ops,
  };
  return { graph, shards: [shard] };
}

/** A tensor's numbers, [rows][cols], and of i8 what they are made of. */
function numbers(model: TinyModel, index: number): Float64Array {
  const w = model.graph.weights[index]!;
  const { offset, scaleOffset } = w.parts[0]!;
  const view = new DataView(model.shards[0]!.buffer);
  const out = new Float64Array(w.rows * w.cols);
  for (let r = 0; r < w.rows; ++r) {
    for (let c = 0; c < w.cols; ++c) {
      const at = offset + r * w.rowBytes;
      const scale = () => view.getFloat32(scaleOffset + 4 * (r * w.scalesPerRow + (w.group ? Math.floor(c / w.group) : 0)), true);
      out[r * w.cols + c] = w.dtype === 'f32' ? view.getFloat32(at + 4 * c, true)
        : w.dtype === 'f16' ? floatFromHalf(view.getUint16(at + 2 * c, true)) : view.getInt8(at + c) * scale();
    }
  }
  return out;
}

/** As quantize_activations of core/tensor/quantize.h, and back. */
export function quantized(x: Float64Array, block: number): Float64Array {
  const out = new Float64Array(x.length);
  for (let b = 0; b < x.length; b += block) {
    const part = x.subarray(b, b + block);
    const largest = Math.fround(part.reduce((m, v) => Math.max(m, Math.abs(v)), 0));
    const inverse = largest > 0 ? Math.fround(127 / largest) : 0;
    part.forEach((v, i) => {
      const exact = Math.fround(Math.fround(v) * inverse);
      const floor = Math.floor(exact);
      const even = exact - floor === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(exact);
      out[b + i] = even * Math.fround(largest / 127);
    });
  }
  return out;
}

/** Logits of every position of one sequence, [ids][vocab]. `kvHalf`: keys and values are kept in f16. */
export function oracleLogits(model: TinyModel, ids: readonly number[], kvHalf: boolean): Float64Array[] {
  const { graph } = model;
  const { heads, kvHeads, headDim, eps } = graph.config;
  const cache = new Map<number, Float64Array>();
  const values = (index: number) => {
    let v = cache.get(index);
    if (!v) cache.set(index, v = numbers(model, index));
    return v;
  };
  const keys: Float64Array[][] = [];
  const held = (v: number) => (kvHalf ? floatFromHalf(halfFromFloat(v)) : Math.fround(v));
  return ids.map((id, position) => {
    const at: Partial<Record<BufferName, Float64Array>> = {};
    const turned = (v: Float64Array, count: number) => {
      for (let h = 0; h < count; ++h) {
        for (let i = 0; i < headDim / 2; ++i) {
          const angle = Math.fround(position * graph.rope.invFreq[i]!);
          const [a, b] = [v[h * headDim + i]!, v[h * headDim + i + headDim / 2]!];
          v[h * headDim + i] = a * Math.cos(angle) - b * Math.sin(angle);
          v[h * headDim + i + headDim / 2] = b * Math.cos(angle) + a * Math.sin(angle);
        }
      }
    };
    const normed = (x: Float64Array, norm: number) => {
      const factor = 1 / Math.sqrt(x.reduce((n, v) => n + v * v, 0) / x.length + eps);
      return x.map((v, c) => v * factor * values(norm)[c]!);
    };
    const product = (op: GraphOp) => {
      const w = graph.weights[op.weight]!;
      let x = at[op.in as BufferName]!;
      if (op.norm >= 0) x = normed(x, op.norm);
      if (w.dtype === 'i8') x = quantized(x, w.group || 128);
      return Float64Array.from({ length: w.rows }, (_, r) => {
        let sum = op.bias >= 0 ? values(op.bias)[r]! : 0;
        for (let c = 0; c < w.cols; ++c) sum += x[c]! * values(op.weight)[r * w.cols + c]!;
        return sum;
      });
    };
    for (const op of graph.ops) {
      if (op.kind === 'embed') {
        at.hidden = values(op.weight).slice(id * graph.config.hidden, (id + 1) * graph.config.hidden);
      } else if (op.kind === 'rms_norm') {
        at[op.out] = normed(at[op.in as BufferName]!, op.norm);
      } else if (op.kind === 'qkv_rope') {
        const all = product(op);
        turned(all, heads + kvHeads);
        at.query = all.slice(0, heads * headDim);
        (keys[op.layer] ??= []).push(all.slice(heads * headDim).map(held));
      } else if (op.kind === 'attention') {
        at.mixed = attended(at.query!, keys[op.layer]!, heads, kvHeads, headDim);
      } else if (op.kind === 'gate_up_silu') {
        const both = product(op);
        const n = both.length / 2;
        at.gated = both.slice(0, n).map((g, i) => (g / (1 + Math.exp(-g))) * both[n + i]!);
      } else if (op.kind === 'matmul_add') {
        const added = product(op);
        at.hidden = at.hidden!.map((v, i) => v + added[i]!);
      } else {
        at.logits = product(op);
      }
    }
    return at.logits!;
  });
}

function attended(q: Float64Array, kv: Float64Array[], heads: number, kvHeads: number, headDim: number): Float64Array {
  const out = new Float64Array(heads * headDim);
  for (let h = 0; h < heads; ++h) {
    const kvAt = Math.floor(h / (heads / kvHeads)) * headDim;
    const scores = kv.map((row) => {
      let sum = 0;
      for (let d = 0; d < headDim; ++d) sum += q[h * headDim + d]! * row[kvAt + d]!;
      return sum / Math.sqrt(headDim);
    });
    const most = Math.max(...scores);
    const factors = scores.map((s) => Math.exp(s - most));
    const total = factors.reduce((a, b) => a + b, 0);
    kv.forEach((row, i) => {
      for (let d = 0; d < headDim; ++d) out[h * headDim + d]! += (factors[i]! / total) * row[kvHeads * headDim + kvAt + d]!;
    });
  }
  return out;
}
