// SPDX-License-Identifier: Apache-2.0
// Generation events as answers in OpenAI's shapes.

import type {
  ChatCompletion, ChatCompletionChunk, CompletionUsage, OpenAiFinish, TextCompletion,
  TextCompletionChunk,
} from './openai_types.ts';
import type { Finish, GenerationEvent, Usage } from './transport.ts';

export interface AnswerHead {
  id: string;
  created: number; // seconds since 1970
  model: string;
}

export function newHead(chat: boolean, model: string): AnswerHead {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const id = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return { id: (chat ? 'chatcmpl-' : 'cmpl-') + id, created: Math.floor(Date.now() / 1000), model };
}

/** OpenAI knows no other reasons that apply. */
export function openAiFinish(finish: Finish): OpenAiFinish {
  return finish === 'length' || finish === 'context' ? 'length' : 'stop';
}

/** Measures one answer; times in milliseconds of performance.now(). */
export class AnswerClock {
  private readonly began = performance.now();
  private first = 0;
  private firstTokens = 0;

  onToken(count: number): void {
    if (count === 0 || this.first !== 0) return;
    this.first = performance.now();
    this.firstTokens = count;
  }

  usage(usage: Usage): CompletionUsage {
    const now = performance.now();
    const first = (this.first || now) - this.began;
    const rest = now - (this.first || now);
    const computed = usage.promptTokens - usage.cachedTokens;
    const later = usage.completionTokens - this.firstTokens;
    return {
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
      total_tokens: usage.promptTokens + usage.completionTokens,
      prompt_tokens_details: { cached_tokens: usage.cachedTokens },
      timings: {
        first_token: first / 1000,
        total: (now - this.began) / 1000,
        prompt_per_second: first > 0 ? (computed / first) * 1000 : 0,
        predicted_per_second: rest > 0 && later > 0 ? (later / rest) * 1000 : 0,
      },
    };
  }
}

// How chat and plain completions differ, chunk by chunk.
interface Shape<Chunk, Whole> {
  /** A chunk with one choice; `first` begins the answer. */
  chunk(head: AnswerHead, text: string, first: boolean, finish: OpenAiFinish | null): Chunk;
  usageChunk(head: AnswerHead, usage: CompletionUsage): Chunk;
  whole(head: AnswerHead, text: string, finish: OpenAiFinish, usage: CompletionUsage): Whole;
}

export const CHAT_SHAPE: Shape<ChatCompletionChunk, ChatCompletion> = {
  chunk: (head, text, first, finish) => {
    const delta: { role?: 'assistant'; content?: string } = {};
    if (first) delta.role = 'assistant';
    if (first || text !== '') delta.content = text;
    const choice = { index: 0, delta, logprobs: null, finish_reason: finish };
    return { ...head, object: 'chat.completion.chunk', choices: [choice] };
  },
  usageChunk: (head, usage) => ({ ...head, object: 'chat.completion.chunk', choices: [], usage }),
  whole: (head, text, finish, usage) => {
    const message = { role: 'assistant' as const, content: text, refusal: null };
    const choice = { index: 0, message, logprobs: null, finish_reason: finish };
    return { ...head, object: 'chat.completion', choices: [choice], usage };
  },
};

export const TEXT_SHAPE: Shape<TextCompletionChunk, TextCompletion> = {
  chunk: (head, text, _first, finish) => {
    const choice = { index: 0, text, logprobs: null, finish_reason: finish };
    return { ...head, object: 'text_completion', choices: [choice] };
  },
  usageChunk: (head, usage) => ({ ...head, object: 'text_completion', choices: [], usage }),
  whole: (head, text, finish, usage) => {
    const choice = { index: 0, text, logprobs: null, finish_reason: finish };
    return { ...head, object: 'text_completion', choices: [choice], usage };
  },
};

/** One chunk per event with text, one with the finish, and where asked for one with the usage. */
export async function* streamAnswer<Chunk extends { usage?: CompletionUsage | null }, Whole>(
  events: AsyncIterable<GenerationEvent>,
  head: AnswerHead,
  shape: Shape<Chunk, Whole>,
  includeUsage: boolean,
): AsyncGenerator<Chunk, void, void> {
  const clock = new AnswerClock();
  const told = (chunk: Chunk): Chunk => (includeUsage ? { ...chunk, usage: null } : chunk);
  let first = true;
  for await (const event of events) {
    if (event.kind === 'token') {
      clock.onToken(event.tokens.length);
      if (event.text === '') continue;
      yield told(shape.chunk(head, event.text, first, null));
      first = false;
    } else if (event.kind === 'done') {
      yield told(shape.chunk(head, '', first, openAiFinish(event.finish)));
      if (includeUsage) yield shape.usageChunk(head, clock.usage(event.usage));
    }
  }
}

/** The whole answer at its end. */
export async function gatherAnswer<Chunk, Whole>(
  events: AsyncIterable<GenerationEvent>,
  head: AnswerHead,
  shape: Shape<Chunk, Whole>,
): Promise<Whole> {
  const clock = new AnswerClock();
  let text = '';
  let finish: Finish = 'stop';
  let usage: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for await (const event of events) {
    if (event.kind === 'token') {
      clock.onToken(event.tokens.length);
      text += event.text;
    } else if (event.kind === 'done') {
      ({ finish, usage } = event);
    }
  }
  return shape.whole(head, text, openAiFinish(finish), clock.usage(usage));
}
