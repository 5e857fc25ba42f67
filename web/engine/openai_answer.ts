// SPDX-License-Identifier: Apache-2.0
// Generation events as answers in OpenAI's shapes.

import type { Logprob, TokenLogprob } from '../abi/types.ts';
import type { ChoiceEvent } from './choices.ts';
import type {
  ChatCompletion, ChatCompletionChunk, ChatLogprob, CompletionUsage, OpenAiFinish, TextCompletion,
  TextCompletionChunk, TextLogprobs,
} from './openai_types.ts';
import type { Finish, Usage } from './transport.ts';

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

/** What is told beside the text. */
export interface Shown {
  /** A stream's last chunk: the usage. */
  usage: boolean;
  logprobs: boolean;
}

/** A part of one answer, or all of it. */
interface Piece {
  index: number;
  text: string;
  /** Null where they were not asked for. */
  logprobs: TokenLogprob[] | null;
  /** UTF-16 units of the answer before it. */
  offset: number;
}

// How chat and plain completions differ, chunk by chunk.
interface Shape<Chunk, Whole> {
  /** A chunk with one choice; `first` begins the answer. */
  chunk(head: AnswerHead, piece: Piece, first: boolean, finish: OpenAiFinish | null): Chunk;
  usageChunk(head: AnswerHead, usage: CompletionUsage): Chunk;
  whole(head: AnswerHead, answers: [Piece, OpenAiFinish][], usage: CompletionUsage): Whole;
}

function chatLogprob({ text, logprob, bytes }: Logprob): ChatLogprob {
  return { token: text, logprob, bytes };
}

function chatLogprobs({ logprobs }: Piece) {
  if (!logprobs) return null;
  const content = logprobs.map((each) =>
    ({ ...chatLogprob(each), top_logprobs: each.top.map(chatLogprob) }));
  return { content, refusal: null };
}

function textLogprobs({ logprobs, offset }: Piece): TextLogprobs | null {
  if (!logprobs) return null;
  const told: TextLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let at = offset;
  for (const { text, logprob, top } of logprobs) {
    told.tokens.push(text);
    told.token_logprobs.push(logprob);
    const likelierLast = top.toReversed().map((each) => [each.text, each.logprob]);
    told.top_logprobs.push(Object.fromEntries(likelierLast));
    told.text_offset.push(at);
    at += text.length;
  }
  return told;
}

export const CHAT_SHAPE: Shape<ChatCompletionChunk, ChatCompletion> = {
  chunk: (head, piece, first, finish) => {
    const delta: { role?: 'assistant'; content?: string } = {};
    if (first) delta.role = 'assistant';
    if (first || piece.text !== '') delta.content = piece.text;
    const { index } = piece;
    const choice = { index, delta, logprobs: chatLogprobs(piece), finish_reason: finish };
    return { ...head, object: 'chat.completion.chunk', choices: [choice] };
  },
  usageChunk: (head, usage) => ({ ...head, object: 'chat.completion.chunk', choices: [], usage }),
  whole: (head, answers, usage) => {
    const choices = answers.map(([piece, finish]) => ({
      index: piece.index,
      message: { role: 'assistant' as const, content: piece.text, refusal: null },
      logprobs: chatLogprobs(piece),
      finish_reason: finish,
    }));
    return { ...head, object: 'chat.completion', choices, usage };
  },
};

function textChoice<F>(piece: Piece, finish: F) {
  const { index, text } = piece;
  return { index, text, logprobs: textLogprobs(piece), finish_reason: finish };
}

export const TEXT_SHAPE: Shape<TextCompletionChunk, TextCompletion> = {
  chunk: (head, piece, _first, finish) =>
    ({ ...head, object: 'text_completion', choices: [textChoice(piece, finish)] }),
  usageChunk: (head, usage) => ({ ...head, object: 'text_completion', choices: [], usage }),
  whole: (head, answers, usage) => {
    const choices = answers.map(([piece, finish]) => textChoice(piece, finish));
    return { ...head, object: 'text_completion', choices, usage };
  },
};

/** What is known of all answers together: their prompt is one. */
class Tally {
  readonly clock = new AnswerClock();
  private readonly sum: Usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

  done({ index, event }: ChoiceEvent): void {
    if (event.kind !== 'done') return;
    const { promptTokens, cachedTokens, completionTokens } = event.usage;
    if (index === 0) Object.assign(this.sum, { promptTokens, cachedTokens });
    this.sum.completionTokens += completionTokens;
  }

  usage(): CompletionUsage {
    return this.clock.usage(this.sum);
  }
}

/** One chunk per event with text, one with each finish, and where asked for one with the usage. */
export async function* streamAnswer<Chunk extends { usage?: CompletionUsage | null }, Whole>(
  events: AsyncIterable<ChoiceEvent>,
  head: AnswerHead,
  shape: Shape<Chunk, Whole>,
  shown: Shown,
): AsyncGenerator<Chunk, void, void> {
  const tally = new Tally();
  const told = (chunk: Chunk): Chunk => (shown.usage ? { ...chunk, usage: null } : chunk);
  const offsets = new Map<number, number>(); // of the answers that have begun
  for await (const choice of events) {
    const { index, event } = choice;
    const offset = offsets.get(index) ?? 0;
    const first = !offsets.has(index);
    if (event.kind === 'token') {
      tally.clock.onToken(event.tokens.length);
      const logprobs = shown.logprobs ? (event.logprobs ?? []) : null;
      if (event.text === '' && !logprobs?.length) continue;
      offsets.set(index, offset + event.text.length);
      yield told(shape.chunk(head, { index, text: event.text, logprobs, offset }, first, null));
    } else if (event.kind === 'done') {
      tally.done(choice);
      const end = { index, text: '', logprobs: null, offset };
      yield told(shape.chunk(head, end, first, openAiFinish(event.finish)));
    }
  }
  if (shown.usage) yield shape.usageChunk(head, tally.usage());
}

/** The whole answers at their end. */
export async function gatherAnswer<Chunk, Whole>(
  events: AsyncIterable<ChoiceEvent>,
  head: AnswerHead,
  shape: Shape<Chunk, Whole>,
  shown: Pick<Shown, 'logprobs'>,
): Promise<Whole> {
  const tally = new Tally();
  const answers: [Piece, OpenAiFinish][] = [];
  for await (const choice of events) {
    const { index, event } = choice;
    const none = (): Piece => ({ index, text: '', logprobs: shown.logprobs ? [] : null, offset: 0 });
    const answer = (answers[index] ??= [none(), 'stop']);
    if (event.kind === 'token') {
      tally.clock.onToken(event.tokens.length);
      answer[0].text += event.text;
      answer[0].logprobs?.push(...(event.logprobs ?? []));
    } else if (event.kind === 'done') {
      tally.done(choice);
      answer[1] = openAiFinish(event.finish);
    }
  }
  return shape.whole(head, answers, tally.usage());
}
