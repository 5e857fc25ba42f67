// SPDX-License-Identifier: Apache-2.0
// The engine that users hold: answers by whichever transport computes, and moves between transports in
// the middle of an answer. A transport is the engine's from when it is opened until it is closed: the
// one that computes now, and those that still let go of answers which have moved on.

import { Answer } from './answer.ts';
import { generateChoices, type ChoiceEvent } from './choices.ts';
import { LaminaError, throwIfAborted } from './errors.ts';
import { ChatCompletions, Completions } from './openai_calls.ts';
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
    await this.change(() => this.moveTo(kind, signal));
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
    this.reopening ??= this.change(() => this.reopen(from)).finally(() => {
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

  // One change of transports at a time, in the order in which they are asked for.
  private async change(work: () => Promise<void>): Promise<void> {
    while (this.move) await this.move.catch(() => {});
    this.move = work().finally(() => {
      this.move = undefined;
    });
    await this.move;
  }

  private async reopen(from: Transport): Promise<void> {
    if (this.transport !== from) return;
    await from.close();
    ({ transport: this.transport, info: this.current } = await this.opened(from.kind));
  }

  // Nothing is left of it where it cannot tell what it is, or this engine was closed meanwhile.
  private async opened(
    kind: EngineKind, signal?: AbortSignal,
  ): Promise<{ transport: Transport; info: EngineInfo }> {
    const transport = await this.parts.open(kind, signal);
    try {
      const info = await transport.info();
      this.check();
      return { transport, info };
    } catch (thrown) {
      await transport.close();
      throw thrown;
    }
  }

  private async moveTo(kind: EngineKind, signal: AbortSignal | undefined): Promise<void> {
    this.check();
    throwIfAborted(signal);
    const old = this.transport;
    if (old.switchTo && kind !== 'daemon') { // it knows best who computes there now
      await old.switchTo(kind, signal);
      await this.refreshInfo();
      return;
    }
    if (old.kind === kind) return;
    ({ transport: this.transport, info: this.current } = await this.opened(kind, signal));
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
