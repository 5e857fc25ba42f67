// SPDX-License-Identifier: Apache-2.0
// What an engine is asked, of a branch and the settings.

import type { Engine } from '@lamina/engine';
import type { Message } from './db.ts';
import type { Sampling } from './settings.ts';

export type GenerateRequest = Parameters<Engine['generate']>[0];

/** Of at most so many seeds one is drawn. */
const SEEDS = 2 ** 32;

function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** A model without a chat template goes on with the text itself. */
export function plainPrompt(path: readonly Message[], begun: string): string {
  return path.map(({ content }) => content).join('\n\n') + begun;
}

export function requestFor(
  path: readonly Message[], begun: string, plain: boolean, systemPrompt: string, sampling: Sampling,
): GenerateRequest {
  const { temperature, topK, topP, minP, repeatPenalty, maxTokens, seed, stop } = sampling;
  const system = systemPrompt.trim() ? [{ role: 'system' as const, content: systemPrompt }] : [];
  const messages = [...system, ...path.map(({ role, content }) => ({ role, content }))];
  const prompt: GenerateRequest['prompt'] = plain
    ? { kind: 'text', text: plainPrompt(path, begun) }
    : { kind: 'messages', messages, ...(begun ? { begun } : {}) };
  return {
    prompt,
    sampling: { temperature, top_k: topK, top_p: topP, min_p: minP, repeat_penalty: repeatPenalty },
    stop: stop.split('\n').filter((line) => line !== '').slice(0, 16),
    seed: seed >= 0 ? seed % SEEDS : drawSeed(),
    ignoreEos: false,
    ...(maxTokens > 0 ? { maxTokens } : {}),
  };
}
