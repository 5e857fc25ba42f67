// SPDX-License-Identifier: Apache-2.0
// Requests in OpenAI's shape, checked and turned into what transports take. Unknown fields are
// ignored, as OpenAI's servers do; a known one of the wrong kind is refused by name, and so is what
// would change the answer and cannot be done. The daemon's HTTP API holds requests to the same.

import { LaminaError } from './errors.ts';
import type { ChatRequest, CompletionRequest, SamplingRequest } from './openai_types.ts';
import type { GenerateRequest, Message, Prompt, Sampling } from './transport.ts';

const MAX_INT = 2147483647;
const MAX_SEED = Number.MAX_SAFE_INTEGER;
const MOST_CHOICES = 128;
const MOST_LOGPROBS = 20;
const COMPLETION_TOKENS = 16; // OpenAI's default of /v1/completions

function refuse(field: string, what: string): never {
  throw new LaminaError('invalid_argument', `'${field}' ${what}`);
}

function number(fields: object, name: string, low: number, high: number): number | undefined {
  const value: unknown = (fields as Record<string, unknown>)[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || Number.isNaN(value)) refuse(name, 'must be a number');
  if (value < low || value > high) refuse(name, `must be from ${low} to ${high}, not ${value}`);
  return value;
}

function integer(fields: object, name: string, low: number, high: number): number | undefined {
  const value = number(fields, name, low, high);
  if (value !== undefined && !Number.isInteger(value)) refuse(name, `must be whole, not ${value}`);
  return value;
}

function flag(fields: object, name: string): boolean {
  const value: unknown = (fields as Record<string, unknown>)[name];
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') refuse(name, 'must be true or false');
  return value;
}

function readStop(stop: unknown): string[] {
  if (stop === undefined || stop === null) return [];
  const stops: unknown[] = Array.isArray(stop) ? stop : [stop];
  if (stops.length > 16) refuse('stop', `must have at most 16 strings, not ${stops.length}`);
  return stops.map((text) => {
    if (typeof text !== 'string') refuse('stop', 'must be a string or a list of strings');
    const bytes = new TextEncoder().encode(text).length;
    if (bytes < 1 || bytes > 256) refuse('stop', `must have 1 to 256 bytes each, not ${bytes}`);
    return text;
  });
}

function readBias(bias: unknown): Record<string, number> | undefined {
  if (bias === undefined || bias === null) return undefined;
  if (typeof bias !== 'object' || Array.isArray(bias)) refuse('logit_bias', 'must be an object');
  const entries = Object.entries(bias);
  if (entries.length > 4096) refuse('logit_bias', 'has too many tokens: 4096 at most');
  for (const [token, value] of entries) {
    const isId = /^[0-9]{1,10}$/.test(token) && Number(token) <= MAX_INT;
    if (!isId) refuse('logit_bias', `must have token ids as names, not ${JSON.stringify(token)}`);
    if (typeof value !== 'number' || !(value >= -100 && value <= 100)) {
      refuse('logit_bias', `must have values from -100 to 100, not ${String(value)}`);
    }
  }
  return Object.fromEntries(entries);
}

function readSampling(r: SamplingRequest): Sampling {
  const sampling: Sampling = {};
  const put = (name: Exclude<keyof Sampling, 'logit_bias'>, value: number | undefined) => {
    if (value !== undefined) sampling[name] = value;
  };
  put('temperature', number(r, 'temperature', 0, 2));
  put('top_p', number(r, 'top_p', 0, 1));
  put('min_p', number(r, 'min_p', 0, 1));
  const topK = integer(r, 'top_k', -1, MAX_INT);
  put('top_k', topK === undefined ? undefined : Math.max(0, topK));
  put('repeat_penalty', number(r, 'repeat_penalty', 0.1, 100));
  const presence = number(r, 'presence_penalty', -2, 2);
  const frequency = number(r, 'frequency_penalty', -2, 2);
  put('presence_penalty', presence);
  put('frequency_penalty', frequency);
  const penalised = Boolean(presence) || Boolean(frequency); // OpenAI's look at the whole text
  put('repeat_last_n', integer(r, 'repeat_last_n', -1, 1 << 20) ?? (penalised ? -1 : undefined));
  const bias = readBias(r.logit_bias);
  if (bias !== undefined) sampling.logit_bias = bias;
  return sampling;
}

/** A seed as OpenAI takes it, negative ones too, as lamina.v1 does: 0 to 2^53-1. */
function readSeed(r: SamplingRequest): number {
  const seed = integer(r, 'seed', -MAX_SEED, MAX_SEED);
  if (seed === undefined) {
    const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
    return (high >>> 11) * 2 ** 32 + low;
  }
  return seed >= 0 ? seed : MAX_SEED + seed + 1;
}

function readCommon(r: SamplingRequest, prompt: Prompt, maxTokens: number | undefined) {
  for (const name of ['tools', 'functions']) {
    const list: unknown = (r as Record<string, unknown>)[name];
    if (Array.isArray(list) && list.length > 0) {
      refuse(name, 'must be empty: tools cannot be called yet');
    }
  }
  const format = (r as { response_format?: { type?: unknown } | null }).response_format;
  if (format && format.type !== 'text') {
    refuse('response_format.type', 'must be text: answers of a given form cannot be had yet');
  }
  const request: GenerateRequest = {
    prompt,
    sampling: readSampling(r),
    stop: readStop(r.stop),
    seed: readSeed(r),
    ignoreEos: flag(r, 'ignore_eos'),
  };
  if (maxTokens !== undefined) request.maxTokens = maxTokens;
  return request;
}

function readContent(content: unknown, at: string): string {
  if (content === undefined || content === null) return '';
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) refuse(at, 'must be a string or a list of text parts');
  return content
    .map((part: { type?: unknown; text?: unknown } | null) => {
      if (part?.type !== 'text' || typeof part.text !== 'string') {
        refuse(at, 'must have parts of type text only');
      }
      return part.text;
    })
    .join('');
}

function readMessages(messages: unknown): Message[] {
  if (!Array.isArray(messages)) refuse('messages', 'is needed and must be a list');
  if (messages.length < 1 || messages.length > 10000) {
    refuse('messages', `must have 1 to 10000 messages, not ${messages.length}`);
  }
  return messages.map((message: { role?: unknown; content?: unknown } | null, i) => {
    const at = `messages[${i}]`;
    const role = message?.role === 'developer' ? 'system' : message?.role;
    if (role !== 'system' && role !== 'user' && role !== 'assistant' && role !== 'tool') {
      refuse(`${at}.role`, 'must be system, developer, user, assistant or tool');
    }
    return { role, content: readContent(message?.content, `${at}.content`) };
  });
}

/** Errors: `invalid_argument` that names the field. */
export function readChatRequest(request: ChatRequest): GenerateRequest {
  const maxTokens =
    integer(request, 'max_completion_tokens', 1, MAX_INT) ??
    integer(request, 'max_tokens', 1, MAX_INT);
  const messages = readMessages(request.messages);
  const read = readCommon(request, { kind: 'messages', messages }, maxTokens);
  const logprobs = flag(request, 'logprobs');
  const top = integer(request, 'top_logprobs', 0, MOST_LOGPROBS);
  if (top !== undefined && !logprobs) refuse('top_logprobs', 'needs "logprobs": true');
  if (logprobs) read.topLogprobs = top ?? 0;
  return read;
}

function readPrompt(prompt: unknown): Prompt {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt };
  if (!Array.isArray(prompt) || prompt.length === 0) {
    refuse('prompt', 'must be a string or a list of token ids');
  }
  for (const id of prompt) {
    if (!Number.isInteger(id) || id < 0 || id > MAX_INT) {
      refuse('prompt', `must have token ids only, not ${String(id)}`);
    }
  }
  return { kind: 'ids', ids: prompt as number[] };
}

/** Errors: `invalid_argument` that names the field. */
export function readCompletionRequest(request: CompletionRequest): GenerateRequest {
  const maxTokens = integer(request, 'max_tokens', 1, MAX_INT) ?? COMPLETION_TOKENS;
  const read = readCommon(request, readPrompt(request.prompt), maxTokens);
  const top = integer(request, 'logprobs', 0, MOST_LOGPROBS);
  if (top !== undefined) read.topLogprobs = top;
  return read;
}

/** How many answers are wanted. Errors: `invalid_argument`. */
export function readChoices(request: ChatRequest | CompletionRequest): number {
  return integer(request, 'n', 1, MOST_CHOICES) ?? 1;
}

/** Whether the last chunk of a stream tells the usage. */
export function wantsUsage(request: ChatRequest | CompletionRequest): boolean {
  const options = (request as { stream_options?: { include_usage?: boolean | null } | null })
    .stream_options;
  if (options && !request.stream) refuse('stream_options', 'is only for "stream": true');
  return options ? flag(options, 'include_usage') : false;
}
