// SPDX-License-Identifier: Apache-2.0
// What running a model takes, and whether there is room for it.

import type { MemoryPlan, Model } from '../../abi/module.ts';
import { planMemory } from '../../webgpu/executor.ts';
import type { MemoryUse } from '../types.ts';
import { GPU_ROWS } from './webgpu_runner.ts';

const PAGE = 64; // positions of the KV cache

/** Bytes. */
export interface Requirement {
  memory: MemoryUse;
  totalBytes: number;
  fits: boolean;
  /** Why it fits or not, with the numbers. */
  reason: string;
}

/** `budget`: bytes that may be taken; absent: as many as there are. */
export function requirementOf(
  model: Model, kind: 'webgpu' | 'wasm', contextSize: number, budget: number | undefined,
): Requirement {
  const plan = model.plan({ context: contextSize });
  const memory = kind === 'webgpu' ? gpuMemory(model, contextSize) : moduleMemory(plan);
  const totalBytes = memory.weights + memory.kv + memory.activations;
  const lack = lacks(kind, totalBytes, budget, plan);
  if (lack) return { memory, totalBytes, fits: false, reason: `${lack}: a smaller context or model may fit` };
  const within = budget === undefined ? '' : ` of ${megabytes(budget)}`;
  return { memory, totalBytes, fits: true, reason: `takes ${megabytes(totalBytes)}${within}` };
}

function lacks(
  kind: 'webgpu' | 'wasm', total: number, budget: number | undefined, plan: MemoryPlan,
): string | undefined {
  if (budget !== undefined && total > budget) {
    return `takes ${megabytes(total)}, the budget is ${megabytes(budget)}`;
  }
  if (kind === 'webgpu' || plan.fitsWasm) return undefined;
  return `takes ${megabytes(plan.wasmBytes)} of a module's ${megabytes(plan.wasmLimit)}`;
}

function moduleMemory(plan: MemoryPlan): MemoryUse {
  return { weights: plan.weightBytes, kv: plan.kvBytes, activations: plan.activationBytes };
}

function gpuMemory(model: Model, contextSize: number): MemoryUse {
  const graph = model.graph(contextSize) as Parameters<typeof planMemory>[0];
  const pages = Math.ceil(contextSize / PAGE);
  const use = planMemory(graph, { pages, maxRows: GPU_ROWS, maxLogitRows: 1 });
  return { weights: use.weightBytes, kv: use.kvBytes, activations: use.activationBytes };
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
