// SPDX-License-Identifier: Apache-2.0
// The table that core/engine/graph_json.h writes: a model's planned forward step.
import { LaminaError } from './error.ts';

export type OpKind =
  | 'embed' | 'rms_norm' | 'qkv_rope' | 'attention' | 'matmul_add' | 'gate_up_silu' | 'logits';
export type BufferName = 'hidden' | 'normed' | 'query' | 'mixed' | 'gated' | 'logits';

export interface GraphConfig {
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly maxPositions: number;
  /** Positions that `rope` was made for. */
  readonly context: number;
  readonly eps: number;
}

/** Rows [rowBegin, rowBegin + rows) of a tensor, whole in one shard; offsets in bytes. */
export interface GraphPart {
  readonly shard: number;
  readonly offset: number;
  /** Of the f32 scales, [rows][scalesPerRow]; i8 only. */
  readonly scaleOffset: number;
  readonly rowBegin: number;
  readonly rows: number;
}

export interface GraphWeight {
  readonly name: string;
  readonly dtype: 'f32' | 'f16' | 'i8';
  readonly rows: number;
  readonly cols: number;
  /** i8: columns of a scale, 0: the whole row. */
  readonly group: number;
  /** Of a padded row. */
  readonly rowBytes: number;
  readonly scalesPerRow: number;
  readonly parts: readonly GraphPart[];
}

export interface GraphShard {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** `weight`, `bias`, `norm` are indices into GraphTable.weights, or -1. */
export interface GraphOp {
  readonly kind: OpKind;
  /** -1: of no layer. */
  readonly layer: number;
  readonly in: BufferName | '-';
  readonly out: BufferName;
  readonly weight: number;
  readonly bias: number;
  readonly norm: number;
  /** Works on rows that want logits, packed in `out`. */
  readonly selected: boolean;
  /** And finds them unpacked in `in`. */
  readonly gather: boolean;
}

export interface GraphTable {
  readonly version: number;
  readonly config: GraphConfig;
  readonly rope: { readonly invFreq: readonly number[]; readonly attentionFactor: number };
  /** Floats per row. */
  readonly buffers: Readonly<Record<BufferName, number>>;
  readonly shards: readonly GraphShard[];
  readonly weights: readonly GraphWeight[];
  readonly ops: readonly GraphOp[];
}

const kVersion = 1;
const kMatmuls: readonly OpKind[] = ['qkv_rope', 'matmul_add', 'gate_up_silu', 'logits'];

export function isMatmul(kind: OpKind): boolean {
  return kMatmuls.includes(kind);
}

/** The table, from its JSON text or as parsed. Throws LaminaError `invalid_model`, or `unsupported`. */
export function readGraphTable(json: string | GraphTable): GraphTable {
  let table: GraphTable;
  try {
    table = typeof json === 'string' ? (JSON.parse(json) as GraphTable) : json;
  } catch (error) {
    throw new LaminaError('invalid_model', `graph table: ${String(error)}`);
  }
  if (table.version !== kVersion) {
    throw new LaminaError('unsupported', `graph table: version ${table.version}, this engine reads ${kVersion}`);
  }
  for (const w of table.weights) {
    if (w.dtype !== 'f32' && w.dtype !== 'f16' && w.dtype !== 'i8') {
      throw new LaminaError('unsupported', `tensor '${w.name}': WebGPU has no kernels for ${String(w.dtype)}`);
    }
  }
  for (const op of table.ops) {
    for (const index of [op.weight, op.bias, op.norm]) {
      if (index < -1 || index >= table.weights.length) {
        throw new LaminaError('invalid_model', `graph table: ${op.kind} names weight ${index}, there are ${table.weights.length}`);
      }
    }
  }
  return table;
}
