// SPDX-License-Identifier: Apache-2.0
// Several answers to one request, told as one.

import type { GenerateRequest, GenerationEvent } from './transport.ts';

const AT_ONCE = 8;
const SEEDS = Number.MAX_SAFE_INTEGER + 1;

function seedOf({ seed }: GenerateRequest, index: number): number {
  const over = seed - SEEDS + index; // exact, which their sum need not be
  return over >= 0 ? over : seed + index;
}

/** An event of one of them, 0 to n - 1. */
export interface ChoiceEvent {
  index: number;
  event: GenerationEvent;
}

export type Generate =
  (request: GenerateRequest, signal: AbortSignal) => AsyncGenerator<GenerationEvent, void, void>;

/**
 * The events of `n` answers, mixed, each with a seed of its own, a few answers at once. Leaving early
 * ends them all, and so does the first that fails.
 */
export async function* generateChoices(
  generate: Generate, request: GenerateRequest, n: number, signal?: AbortSignal,
): AsyncGenerator<ChoiceEvent, void, void> {
  const leave = new AbortController();
  const either = signal ? AbortSignal.any([signal, leave.signal]) : leave.signal;
  const alive = new Map<number, AsyncGenerator<GenerationEvent, void, void>>();
  const coming = new Map<number, Promise<{ index: number; result: IteratorResult<GenerationEvent> }>>();
  const pull = (index: number) => {
    const next = alive.get(index)?.next().then((result) => ({ index, result }));
    next?.catch(() => {}); // the first failure is told
    if (next) coming.set(index, next);
  };
  let begun = 0;
  const beginMore = () => {
    for (; begun < n && alive.size < AT_ONCE; ++begun) {
      alive.set(begun, generate({ ...request, seed: seedOf(request, begun) }, either));
      pull(begun);
    }
  };
  try {
    for (beginMore(); coming.size > 0; beginMore()) {
      const { index, result } = await Promise.race(coming.values());
      coming.delete(index);
      if (result.done) {
        alive.delete(index);
        continue;
      }
      yield { index, event: result.value };
      pull(index);
    }
  } finally {
    leave.abort();
    await Promise.allSettled([...alive.values()].map((one) => one.return()));
  }
}
