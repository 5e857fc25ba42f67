// SPDX-License-Identifier: Apache-2.0
// The engine that users hold: OpenAI's calls over whichever transport computes, and moves between
// transports in the middle of an answer.

import { Answer } from './answer.ts';
import { LaminaError, throwIfAborted } from './errors.ts';
import { generateChoices, type ChoiceEvent } from './choices.ts';
import { CHAT_SHAPE, gatherAnswer, newHead, streamAnswer, TEXT_SHAPE } from './openai_answer.ts';
import {
  readChatRequest, readChoices, readCompletionRequest, wantsUsage,
} from './openai_request.ts';
import type {
  ChatCompletion, ChatCompletionChunk, ChatRequest, ChatRequestStreaming, ChatRequestWhole,
  CompletionRequest, CompletionRequestStreaming, CompletionRequestWhole, TextCompletion,
  TextCompletionChunk,
} from './openai_types.ts';
import type { GenerateRequest, GenerationEvent, Transport } from './transport.ts';
import type { CallOptions, EngineInfo, EngineKind, ModelPlan, Notice, OpTime } from './types.ts';

/** What an engine is made of; factory.ts fills it in. */
export interface EngineParts {
  transport: Transport;
  plan: ModelPlan | null;
  /** When its weights are here, where that may be later. */
  loaded?: Promise<void> | undefined;
  /** Another transport of the same model. */
  open: (kind: EngineKind, signal?: AbortSignal) => Promise<Transport>;
  onNotice: (notice: Notice) => void;
}

/** Calls as OpenAI's client has them. */
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

// An answer under way, as a move sees it.
interface Leg {
  stop: AbortController; // ends this engine's part of the answer
  moving: boolean;
  held: string; // text that this engine had not told when it was stopped for a move
}

export class Engine implements AsyncDisposable {
  readonly chat: { completions: ChatCompletions };
  readonly completions: Completions;
  /** What was planned before anything was downloaded; null for the daemon. */
  readonly plan: ModelPlan | null;
  /**
   * Resolves when the engine has all that it needs, at once unless it was made `early`. Rejects with what
   * createEngine() would have thrown; then so does every call, and the engine is to be made anew.
   */
  readonly loaded: Promise<void>;
  private readonly parts: EngineParts;
  private transport: Transport;
  private current: EngineInfo;
  private readonly legs = new Set<Leg>();
  private move: Promise<void> | undefined;
  private reopening: Promise<void> | undefined;
  private disposed = false;

  /** Use createEngine(). */
  constructor(parts: EngineParts, info: EngineInfo) {
    this.parts = parts;
    this.transport = parts.transport;
    this.plan = parts.plan;
    this.current = info;
    this.loaded = this.whenLoaded();
    this.loaded.catch(() => {}); // told to whoever waits
    this.chat = { completions: new ChatCompletions(this) };
    this.completions = new Completions(this);
  }

  /** Which engine computes, on what device and why; renewed when that changes. */
  get info(): EngineInfo {
    return this.current;
  }

  /** Asks again: memory and backends change. */
  async refreshInfo(): Promise<EngineInfo> {
    this.current = await this.transport.info();
    return this.current;
  }

  /**
   * Moves to another engine between two tokens; running answers go on there. Between webgpu and
   * wasm they take their KV cache along, to and from the daemon it is computed again. Without
   * success everything stays as it was.
   * Errors: what opening the other engine ends with; `cancelled` once `signal` fires.
   */
  async switchTo(kind: EngineKind, { signal }: CallOptions = {}): Promise<void> {
    this.check();
    await this.move?.catch(() => {});
    throwIfAborted(signal);
    if (this.transport.kind === kind) return;
    this.move = this.moveTo(kind, signal).finally(() => {
      this.move = undefined;
    });
    await this.move;
  }

  /**
   * What each kind of op takes in the step of one token, once running answers have ended; null where
   * the engine does not tell. The next prompt is computed from its start.
   */
  async opTimes(): Promise<OpTime[] | null> {
    this.check();
    return (await this.transport.opTimes?.()) ?? null;
  }

  /** Ends all answers with `closed` and frees everything. */
  async close(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    for (const leg of this.legs) leg.stop.abort();
    await this.transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The events of `n` answers. The calls in OpenAI's shape are made of this. */
  generateChoices(
    request: GenerateRequest, n: number, signal?: AbortSignal,
  ): AsyncGenerator<ChoiceEvent, void, void> {
    this.check();
    return generateChoices((one, stop) => this.generate(one, stop), request, n, signal);
  }

  /** The events of one answer, whoever computes it. */
  async *generate(
    request: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    this.check();
    const answer = new Answer(request);
    let next = request;
    let failures = 0;
    for (;;) {
      const leg: Leg = { stop: new AbortController(), moving: false, held: '' };
      const from = this.transport;
      try {
        if (yield* this.runLeg(answer, next, leg, signal)) return;
      } catch (thrown) {
        const error = LaminaError.from(thrown);
        const moved = leg.moving && !signal?.aborted;
        if (!moved && !(await this.recovered(from, error, ++failures))) throw error;
      }
      await this.move?.catch(() => {});
      next = await this.remainder(answer, from, leg.held);
    }
  }

  // One engine's part. True when the answer ended in it, not just this part.
  private async *runLeg(
    answer: Answer,
    request: GenerateRequest,
    leg: Leg,
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationEvent, boolean, void> {
    const either = signal ? AbortSignal.any([signal, leg.stop.signal]) : leg.stop.signal;
    const isMoving = () => leg.moving && !signal?.aborted;
    this.legs.add(leg);
    try {
      for await (const event of this.transport.generate(request, either)) {
        if (event.kind === 'started') {
          if (answer.started(event)) yield event;
        } else if (event.kind === 'notice') {
          this.notice({ kind: 'daemon', text: event.text });
        } else if (event.kind === 'token' && event.tokens.length === 0 && isMoving()) {
          leg.held += event.text; // flushed by the cancel; the next engine has it still
        } else if (event.kind === 'token') {
          answer.take(event);
          yield event;
        } else if (event.finish === 'cancelled' && isMoving()) {
          return false;
        } else {
          this.check();
          yield { ...event, usage: answer.usage };
          return true;
        }
      }
      throw new LaminaError('protocol', 'the answer broke off without an end');
    } finally {
      this.legs.delete(leg);
    }
  }

  private async remainder(answer: Answer, from: Transport, held: string): Promise<GenerateRequest> {
    const { request } = answer;
    if (!answer.hasTokens) return request;
    const ids = (await this.transport.encode(request.prompt)) ?? (await from.encode(request.prompt));
    if (ids) return { ...request, begun: answer.begun(ids, held) };
    const what = `the answer cannot go on from ${from.kind} on ${this.transport.kind}: ` +
      'neither tells the tokens of the prompt';
    throw new LaminaError('unsupported', what);
  }

  // True when the answer can go on: a worker that ended is started again, once per answer.
  private async recovered(from: Transport, error: LaminaError, failures: number): Promise<boolean> {
    if (error.code !== 'worker_lost' || failures > 1 || this.disposed) return false;
    const text = 'the engine ended unexpectedly and is started again';
    this.notice({ kind: 'worker_restarted', text, cause: error });
    if (this.transport !== from) return true;
    this.reopening ??= this.reopen(from).finally(() => {
      this.reopening = undefined;
    });
    await this.reopening;
    return true;
  }

  private async whenLoaded(): Promise<void> {
    if (!this.parts.loaded) return;
    try {
      await this.parts.loaded;
    } catch (thrown) {
      if (this.transport === this.parts.transport) throw thrown;
    }
    if (!this.disposed) await this.refreshInfo();
  }

  private async reopen(from: Transport): Promise<void> {
    await from.close();
    this.transport = await this.parts.open(from.kind);
    await this.refreshInfo();
  }

  private async moveTo(kind: EngineKind, signal: AbortSignal | undefined): Promise<void> {
    const old = this.transport;
    if (old.switchTo && kind !== 'daemon') {
      await old.switchTo(kind, signal);
      await this.refreshInfo();
      return;
    }
    const next = await this.parts.open(kind, signal);
    this.transport = next;
    this.current = await next.info();
    const legs = [...this.legs];
    for (const leg of legs) {
      leg.moving = true;
      leg.stop.abort();
    }
    await this.leave(old, legs);
  }

  // The old engine is closed when its answers have let go of it; they may yet ask for its tokens.
  private async leave(old: Transport, legs: Leg[]): Promise<void> {
    const gone = async () => {
      while (legs.some((leg) => this.legs.has(leg))) await new Promise((r) => setTimeout(r, 5));
      await new Promise((r) => setTimeout(r, 1000));
      await old.close();
    };
    gone().catch((thrown) => {
      const text = 'an engine could not be closed';
      this.notice({ kind: 'leftover', text, cause: LaminaError.from(thrown) });
    });
  }

  private notice(notice: Notice): void {
    this.parts.onNotice(notice);
  }

  private check(): void {
    if (this.disposed) throw new LaminaError('closed', 'this engine was disposed');
  }
}
