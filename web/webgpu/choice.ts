// SPDX-License-Identifier: Apache-2.0
// How tokens are chosen on the device: what TokenChoice of core/engine/sampler.h is, as shaders/sample.wgsl reads it.
import type { GpuFacts } from './device.ts';
import { LaminaError } from './error.ts';
import { kChoiceWords } from './buffers.ts';

export interface TokenChoice {
  /** 0: the likeliest, the first of equals; nothing else counts then. */
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  /** A random number in [0, 1) for each step; needed unless the temperature is 0. */
  readonly units?: Float32Array;
}

/** Threads of the kernels that look at a row of logits. */
export function choosingThreads(facts: GpuFacts): number {
  return Math.min(facts.software ? 256 : 1024, facts.maxThreads);
}

/** A quarter of the threads: so many find what is as good among their own largest (see floor_key of sample.wgsl). */
export function mostTopK(facts: GpuFacts): number {
  return Math.min(256, choosingThreads(facts) / 4);
}

/** Whether a choice from `vocab` logits can be made there. */
export function isChoiceOfDevice(choice: TokenChoice, facts: GpuFacts, vocab: number): boolean {
  return choice.temperature <= 0 || (choice.topK > 1 && choice.topK <= mostTopK(facts) && choice.topK < vocab);
}

/** The kernel's words for `n` steps. Throws LaminaError `invalid_argument` where random numbers miss. */
export function choiceWords(choice: TokenChoice, n: number): Float32Array<ArrayBuffer> {
  const { units } = choice;
  if (!units || units.length < n || units.some((u) => !(u >= 0 && u < 1))) {
    throw new LaminaError('invalid_argument', `decode of ${n} tokens by chance needs as many random numbers in [0, 1)`);
  }
  const words = new Float32Array(kChoiceWords + n);
  new Uint32Array(words.buffer)[0] = choice.topK;
  words.set([choice.topP, choice.minP, 1 / Math.fround(choice.temperature)], 1);
  words.set(units.subarray(0, n), kChoiceWords);
  return words;
}
