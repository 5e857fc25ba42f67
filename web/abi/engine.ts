// SPDX-License-Identifier: Apache-2.0
// Engines of a model: one computes in the module, the other says what somebody else is to compute.

import { LaminaError } from '../engine/errors.ts';
import type { Model } from './model.ts';
import type { Native } from './native.ts';
import { Session, readBatch, readEvents } from './session.ts';
import type { Batch, EngineInfo, OpTime, SavedSession, TokenEvent } from './types.ts';

export class Engine {
  readonly model: Model;
  readonly native: Native;
  /** True: computes nothing itself. */
  readonly remote: boolean;
  readonly info: EngineInfo;
  /** Sessions that live here. */
  readonly sessions = new Set<Session>();
  #address: number;

  /** Made by a model. */
  constructor(model: Model, address: number, remote: boolean) {
    this.model = model;
    this.native = model.native;
    this.remote = remote;
    this.#address = address;
    model.engines.add(this);
    this.native.must('lamina_engine_describe', address);
    this.info = this.native.json<EngineInfo>();
  }

  get address(): number {
    if (this.#address === 0) throw new LaminaError('closed', 'the engine is disposed');
    return this.#address;
  }

  /** `atLimit`: what happens when the context is full. Throws `invalid_argument`. */
  createSession(options: { atLimit?: 'stop' | 'slide' } = {}): Session {
    const slides = options.atLimit === 'slide' ? 1 : 0;
    return new Session(this, this.native.must('lamina_session_open', this.address, slides));
  }

  /**
   * A session as it was saved, with nothing cached: the next steps compute it, unless importKv
   * brings what exportKv gave where it came from.
   */
  restoreSession(saved: SavedSession): Session {
    const address = this.native.lend(JSON.stringify(saved), (at, bytes) =>
      this.native.must('lamina_session_restore', this.address, at, bytes));
    return new Session(this, address);
  }

  /** CPU: one step of all sessions together, and the tokens that it gave. */
  step(sessions: readonly Session[], promptRows = 0x7fffffff): { session: Session; event: TokenEvent }[] {
    this.#lend(sessions, (at, n) =>
      this.native.count('lamina_engine_step', this.address, at, n, promptRows));
    return readEvents(this.native)
      .map(({ session, event }) => ({ session: sessions[session]!, event }));
  }

  /** Remote: the next rows of all sessions, or null when none has any; see Session.next. */
  next(sessions: readonly Session[], maxRows: number = this.info.maxRows): Batch | null {
    const some = this.#lend(sessions, (at, n) =>
      this.native.count('lamina_engine_next', this.address, at, n, maxRows));
    return some === 0 ? null : this.batch();
  }

  /** Remote: the last batch again, with the pages that lookAhead has added. */
  batch(): Batch {
    return readBatch(this.native);
  }

  /** CPU: logits [ids][vocab] of every id of a text; for scoring. */
  forward(ids: ArrayLike<number>): Float32Array {
    this.native.lendNumbers(Int32Array.from(ids), (at, n) =>
      this.native.must('lamina_engine_forward', this.address, at, n));
    return this.native.floats();
  }

  /** CPU: what each kind of op of a first token takes, over `steps` of them. */
  profile(steps: number): OpTime[] {
    const session = this.createSession();
    try {
      session.setPrompt([0]);
      this.native.must('lamina_session_profile', session.address, steps);
      return this.native.json<OpTime[]>();
    } finally {
      session.dispose();
    }
  }

  dispose(): void {
    if (this.#address === 0) return;
    for (const session of [...this.sessions]) session.dispose();
    if (!this.native.closed) this.native.call('lamina_engine_close', this.#address);
    this.model.engines.delete(this);
    this.#address = 0;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  #lend<T>(sessions: readonly Session[], use: (at: number, n: number) => T): T {
    for (const session of sessions) {
      if (session.engine === this) continue;
      throw new LaminaError('invalid_argument', 'the session lives in another engine');
    }
    return this.native.lendNumbers(Int32Array.from(sessions, (s) => s.address), use);
  }
}

/** An engine whose steps run in the module. */
export type CpuEngine = Engine;
/** An engine whose batches run elsewhere. */
export type RemoteEngine = Engine;
