// SPDX-License-Identifier: Apache-2.0
// What people want to know of a model before they choose it, read from its manifest.

import type { SignatureFacts } from '@lamina/engine/storage';

export interface ShardFacts {
  file: string;
  bytes: number;
  layers: readonly number[];
  stored: boolean;
}

export interface ModelFacts {
  name: string;
  url: string;
  sha256: string;
  /** Of all shards. */
  bytes: number;
  storedBytes: number;
  shards: readonly ShardFacts[];
  signature: SignatureFacts;
  /** "int8", or "int8, float16" where tensors differ; the most weights first. */
  precision: string;
  parameters: number;
  /** Positions; 0 when the manifest does not say. */
  context: number;
  layers: number;
  /** Where the manifest came from. */
  source: 'network' | 'store';
}

const NAMES: Readonly<Record<string, string>> = {
  f32: 'float32', f16: 'float16', bf16: 'bfloat16', i8: 'int8', i4: 'int4',
};

type Json = Record<string, unknown>;

/** Of a manifest that the store has checked; what it does not say is 0 or empty. */
export function readConfig(manifest: Uint8Array): Pick<ModelFacts, 'precision' | 'parameters' | 'context' | 'layers'> {
  const root = JSON.parse(new TextDecoder().decode(manifest)) as Json;
  const config = (root['config'] ?? {}) as Json;
  const weights = new Map<string, number>();
  for (const tensor of (root['tensors'] ?? []) as Json[]) {
    const count = whole(tensor['rows']) * whole(tensor['cols']);
    const dtype = String(tensor['dtype']);
    weights.set(dtype, (weights.get(dtype) ?? 0) + count);
  }
  const all = [...weights.values()].reduce((sum, n) => sum + n, 0);
  const most = [...weights].sort((a, b) => b[1] - a[1])
    .filter(([, count]) => count > all / 50); // norms and the like are no precision
  return {
    precision: most.map(([dtype]) => NAMES[dtype] ?? dtype).join(', '),
    parameters: all,
    context: whole(config['max_positions']),
    layers: whole(config['n_layers']),
  };
}

function whole(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
