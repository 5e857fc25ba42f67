// SPDX-License-Identifier: Apache-2.0
// A model's weights in the device's memory. A tensor larger than a storage binding may be is cut by rows;
// shards arrive in any order and go straight to where their rows lie.
import { LaminaError } from './error.ts';
import { allocate, GPUUsage } from './device.ts';
import { isMatmul, type GraphPart, type GraphTable, type GraphWeight } from './graph_table.ts';

/** What one dispatch binds of a tensor. */
export interface WeightPart {
  /** The first of the op's outputs that it makes; of an embedding, the first token. */
  readonly begin: number;
  /** Rows held: of gate_up, gate rows and then as many up rows. */
  readonly rows: number;
  readonly values: GPUBuffer;
  readonly scales: GPUBuffer | undefined;
}

// Rows [begin, begin + rows) of the tensor lie in the part from its row `at` on.
interface Strip {
  readonly part: WeightPart;
  readonly begin: number;
  readonly rows: number;
  readonly at: number;
}

interface PlannedPart {
  readonly begin: number;
  readonly rows: number;
  readonly strips: readonly { begin: number; rows: number; at: number }[];
}

/** How a tensor of `rows` rows is cut into parts of at most `most` rows at multiples of `unit`. */
export function cutRows(rows: number, most: number, unit: number, paired: boolean): PlannedPart[] {
  const outputs = paired ? rows / 2 : rows;
  const perPart = Math.floor((paired ? most / 2 : most) / unit) * unit;
  if (perPart < 1) return [];
  const parts: PlannedPart[] = [];
  const even = Math.ceil(outputs / Math.ceil(outputs / perPart) / unit) * unit;
  for (let begin = 0; begin < outputs; begin += even) {
    const n = Math.min(even, outputs - begin);
    const strips = [{ begin, rows: n, at: 0 }];
    if (paired) strips.push({ begin: outputs + begin, rows: n, at: n });
    parts.push({ begin, rows: paired ? 2 * n : n, strips });
  }
  return parts;
}

export class DeviceWeights {
  /** By index into GraphTable.weights; empty where no op uses the tensor. */
  readonly parts: readonly WeightPart[][];
  readonly bytes: number;
  readonly #device: GPUDevice;
  readonly #graph: GraphTable;
  readonly #strips: readonly Strip[][];
  readonly #uploaded: Set<number>;

  private constructor(device: GPUDevice, graph: GraphTable, parts: WeightPart[][], strips: Strip[][], bytes: number) {
    this.#device = device;
    this.#graph = graph;
    this.parts = parts;
    this.#strips = strips;
    this.bytes = bytes;
    this.#uploaded = new Set();
  }

  /** Throws LaminaError `out_of_memory`, or `unsupported` where one row exceeds a binding. */
  static async create(device: GPUDevice, graph: GraphTable, maxBinding: number): Promise<DeviceWeights> {
    const parts: WeightPart[][] = [];
    const strips: Strip[][] = [];
    const made: GPUBuffer[] = [];
    let bytes = 0;
    const buffer = async (name: string, size: number) => {
      const b = await allocate(device, name, size, GPUUsage.storage | GPUUsage.copyDst);
      made.push(b);
      bytes += size;
      return b;
    };
    try {
      for (const [index, w] of graph.weights.entries()) {
        const planned = plannedParts(graph, index, maxBinding);
        parts.push([]);
        strips.push([]);
        for (const p of planned) {
          const values = await buffer(w.name, p.rows * w.rowBytes);
          const scales = w.dtype === 'i8' ? await buffer(`${w.name} scales`, p.rows * w.scalesPerRow * 4) : undefined;
          const part = { begin: p.begin, rows: p.rows, values, scales };
          parts[index]!.push(part);
          for (const s of p.strips) strips[index]!.push({ part, ...s });
        }
      }
    } catch (error) {
      for (const b of made) b.destroy();
      throw error;
    }
    return new DeviceWeights(device, graph, parts, strips, bytes);
  }

  /** Copies what the shard holds; its bytes are the caller's again on return. Throws `invalid_argument`. */
  uploadShard(index: number, bytes: Uint8Array): void {
    const shard = this.#graph.shards[index];
    if (!shard || bytes.byteLength !== shard.bytes) {
      throw new LaminaError('invalid_argument',
        `shard ${index}: ${bytes.byteLength} bytes, ${shard ? `must be ${shard.bytes}` : 'there is no such shard'}`);
    }
    for (const [i, w] of this.#graph.weights.entries()) {
      for (const p of w.parts) {
        if (p.shard === index) this.#uploadPart(w, p, this.#strips[i]!, bytes);
      }
    }
    this.#uploaded.add(index);
  }

  /** How many of the first layers have all their shards, the embedding's among the first one's. */
  readyLayers(): number {
    const { ops, weights, config } = this.#graph;
    const isHere = (index: number) =>
      index < 0 || weights[index]!.parts.every((p) => this.#uploaded.has(p.shard));
    const missing = ops.filter((op) => !isHere(op.weight) || !isHere(op.bias) || !isHere(op.norm))
      .map((op) => (op.kind === 'embed' ? 0 : op.layer >= 0 ? op.layer : config.layers));
    return Math.min(config.layers, ...missing);
  }

  /** Shards still to come. */
  missing(): number[] {
    return [...this.#graph.shards.keys()].filter((i) => !this.#uploaded.has(i));
  }

  destroy(): void {
    for (const part of this.parts.flat()) {
      part.values.destroy();
      part.scales?.destroy();
    }
  }

  #uploadPart(w: GraphWeight, p: GraphPart, strips: readonly Strip[], bytes: Uint8Array): void {
    for (const s of strips) {
      const begin = Math.max(s.begin, p.rowBegin);
      const rows = Math.min(s.begin + s.rows, p.rowBegin + p.rows) - begin;
      if (rows <= 0) continue;
      const copy = (to: GPUBuffer, from: number, rowBytes: number) => {
        this.#device.queue.writeBuffer(to, (s.at + begin - s.begin) * rowBytes, bytes.buffer,
          bytes.byteOffset + from + (begin - p.rowBegin) * rowBytes, rows * rowBytes);
      };
      copy(s.part.values, p.offset, w.rowBytes);
      if (s.part.scales) copy(s.part.scales, p.scaleOffset, w.scalesPerRow * 4);
    }
  }
}

function plannedParts(graph: GraphTable, index: number, maxBinding: number): PlannedPart[] {
  const w = graph.weights[index]!;
  const ops = graph.ops.filter((op) => op.weight === index || op.bias === index || op.norm === index);
  if (ops.length === 0) return [];
  const matrix = ops.find((op) => op.weight === index && isMatmul(op.kind));
  const most = Math.floor(maxBinding / Math.max(w.rowBytes, w.scalesPerRow * 4));
  const unit = matrix?.kind === 'qkv_rope' ? graph.config.headDim : 4;
  const planned = most >= w.rows ? cutRows(w.rows, w.rows, 1, matrix?.kind === 'gate_up_silu')
    : cutRows(w.rows, most, unit, matrix?.kind === 'gate_up_silu');
  if (planned.length === 0) {
    throw new LaminaError('unsupported',
      `tensor '${w.name}': ${unit} rows of ${w.rowBytes} bytes do not fit this device's storage binding of ${maxBinding}`);
  }
  return planned;
}

/** Bytes that the weights will take. */
export function weightBytes(graph: GraphTable): number {
  return graph.weights.reduce((sum, w) => sum + w.rows * (w.rowBytes + 4 * w.scalesPerRow), 0);
}
