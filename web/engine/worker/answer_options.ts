// SPDX-License-Identifier: Apache-2.0
// Requests and events of transports as the module has them.

import type { AnswerOptions, Model, TokenEvent } from '../../abi/module.ts';
import type { GenerateRequest, GenerationEvent, Prompt } from '../transport.ts';

export function answerOptions(request: GenerateRequest): AnswerOptions {
  const s = request.sampling;
  const options: AnswerOptions = {
    seed: request.seed, stop: request.stop, ignoreEos: request.ignoreEos,
  };
  if (s.temperature !== undefined) options.temperature = s.temperature;
  if (s.top_k !== undefined) options.topK = s.top_k;
  if (s.top_p !== undefined) options.topP = s.top_p;
  if (s.min_p !== undefined) options.minP = s.min_p;
  if (s.repeat_penalty !== undefined) options.repeatPenalty = s.repeat_penalty;
  if (s.presence_penalty !== undefined) options.presencePenalty = s.presence_penalty;
  if (s.frequency_penalty !== undefined) options.frequencyPenalty = s.frequency_penalty;
  if (s.repeat_last_n !== undefined) options.repeatLastN = s.repeat_last_n;
  if (s.logit_bias) {
    options.logitBias = Object.entries(s.logit_bias).map(([id, bias]) => [Number(id), bias]);
  }
  if (request.maxTokens !== undefined) options.maxTokens = request.maxTokens;
  if (request.topLogprobs !== undefined) options.topLogprobs = request.topLogprobs;
  return options;
}

/** The tokens of a prompt, as they are fed. */
export function promptIds(model: Model, prompt: Prompt): number[] {
  if (prompt.kind === 'ids') return prompt.ids;
  if (prompt.kind === 'text') return Array.from(model.tokenize(prompt.text));
  const ids = Array.from(model.chat(prompt.messages));
  const { begun } = prompt;
  return begun ? [...ids, ...model.tokenize(begun, { special: false })] : ids;
}

/** The events of one step as one; undefined where they tell nothing. */
export function tokenEvent(events: readonly TokenEvent[]): GenerationEvent | undefined {
  const text = events.map((event) => event.text).join('');
  const tokens = events.map((event) => event.token).filter((token) => token >= 0);
  if (text === '' && tokens.length === 0) return undefined;
  const logprobs = events.flatMap((event) => event.logprobs ?? []);
  return { kind: 'token', text, tokens, ...(logprobs.length > 0 ? { logprobs } : {}) };
}
