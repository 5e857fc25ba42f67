// SPDX-License-Identifier: Apache-2.0
// Calls as OpenAI's client has them, over an engine's events.

import type { Engine } from './engine.ts';
import { throwIfAborted } from './errors.ts';
import { CHAT_SHAPE, gatherAnswer, newHead, streamAnswer, TEXT_SHAPE } from './openai_answer.ts';
import {
  readChatRequest, readChoices, readCompletionRequest, wantsUsage,
} from './openai_request.ts';
import type {
  ChatCompletion, ChatCompletionChunk, ChatRequest, ChatRequestStreaming, ChatRequestWhole,
  CompletionRequest, CompletionRequestStreaming, CompletionRequestWhole, TextCompletion,
  TextCompletionChunk,
} from './openai_types.ts';
import type { CallOptions } from './types.ts';

/** Conversations. */
export class ChatCompletions {
  private readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /**
   * Streaming: chunks as they come; once `signal` fires, the stream ends with what there is and
   * finish_reason "stop". Whole: the completion; once `signal` fires, `cancelled` is thrown.
   * Errors: `invalid_argument` that names the field, `context_exceeded`, `queue_full`, and what
   * the engine ends with.
   */
  create(r: ChatRequestStreaming, o?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>>;
  create(r: ChatRequestWhole, o?: CallOptions): Promise<ChatCompletion>;
  async create(
    r: ChatRequest,
    options: CallOptions = {},
  ): Promise<AsyncIterable<ChatCompletionChunk> | ChatCompletion> {
    const request = readChatRequest(r);
    const n = readChoices(r);
    const shown = { usage: wantsUsage(r), logprobs: request.topLogprobs !== undefined };
    throwIfAborted(options.signal);
    const head = newHead(true, this.engine.info.model);
    const events = this.engine.generateChoices(request, n, options.signal);
    if (r.stream) return streamAnswer(events, head, CHAT_SHAPE, shown);
    return unlessCancelled(gatherAnswer(events, head, CHAT_SHAPE, shown), options.signal);
  }
}

/** Plain text, continued as it stands. */
export class Completions {
  private readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** As ChatCompletions.create. */
  create(
    r: CompletionRequestStreaming,
    o?: CallOptions,
  ): Promise<AsyncIterable<TextCompletionChunk>>;
  create(r: CompletionRequestWhole, o?: CallOptions): Promise<TextCompletion>;
  async create(
    r: CompletionRequest,
    options: CallOptions = {},
  ): Promise<AsyncIterable<TextCompletionChunk> | TextCompletion> {
    const request = readCompletionRequest(r);
    const n = readChoices(r);
    const shown = { usage: wantsUsage(r), logprobs: request.topLogprobs !== undefined };
    throwIfAborted(options.signal);
    const head = newHead(false, this.engine.info.model);
    const events = this.engine.generateChoices(request, n, options.signal);
    if (r.stream) return streamAnswer(events, head, TEXT_SHAPE, shown);
    return unlessCancelled(gatherAnswer(events, head, TEXT_SHAPE, shown), options.signal);
  }
}

async function unlessCancelled<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const whole = await answer;
  throwIfAborted(signal);
  return whole;
}
