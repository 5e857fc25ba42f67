// SPDX-License-Identifier: Apache-2.0
// Who computes now: a runner, and the conversation in its engine. Both change only in a turn of the
// seat, and so does all that needs them together: steps, moves, the begin and the end of an answer.
// Between two turns a session may be anywhere in an answer, but never in the middle of a step.

import type { Session } from '../../abi/module.ts';
import { LaminaError } from '../errors.ts';
import { deferred } from './deferred.ts';
import type { Runner } from './runner.ts';
import { Turns } from './turns.ts';

const NO_KV = new Uint16Array(0);

export class Seat {
  readonly #turns = new Turns();
  #taken: Runner | undefined;
  #changed = deferred();
  /** The conversation, in the runner's engine; there may be none. Set in turns alone. */
  session: Session | undefined;

  /** Alone with runner and session. Turns come in the order in which they are asked for and don't nest. */
  alone<T>(work: () => Promise<T> | T): Promise<T> {
    return this.#turns.run(work);
  }

  /** Who computes, if anybody does yet. */
  get taken(): Runner | undefined {
    return this.#taken;
  }

  /** Throws `closed` before there is one. */
  get runner(): Runner {
    if (!this.#taken) throw new LaminaError('closed', 'the engine has not started');
    return this.#taken;
  }

  /** Resolves when the next runner is here. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /**
   * In a turn: `to` computes from now on, and the session goes on in it. Owns `to`: where the session
   * cannot move, that is disposed of, and who was here goes on; else who was here is disposed of.
   * `withKv`: takes along what is cached; else that is computed again.
   */
  async moveTo(to: Runner, { withKv = true } = {}): Promise<void> {
    const from = this.#taken;
    try {
      if (from && this.session) await carry(this.session, from, to, withKv);
    } catch (thrown) {
      to.dispose();
      throw thrown;
    }
    this.#taken = to;
    from?.dispose();
    this.#changed.resolve();
    this.#changed = deferred();
  }
}

// Throws with the session where it was, where its cache may be lost.
async function carry(session: Session, from: Runner, to: Runner, withKv: boolean): Promise<void> {
  from.abandon(session);
  const kv = withKv ? await exportedKv(from, session) : NO_KV;
  try {
    await to.adopt(session, kv, kv === NO_KV ? 0 : session.usage.cached);
  } catch (thrown) {
    if (session.engine !== from.engine) await from.adopt(session, NO_KV, 0);
    throw thrown;
  }
}

// Without the KV of a device that is lost, it is computed again.
async function exportedKv(from: Runner, session: Session): Promise<Uint16Array> {
  if (session.usage.cached === 0) return NO_KV;
  try {
    return await from.exportKv(session);
  } catch (thrown) {
    if (LaminaError.from(thrown, 'device').code !== 'device') throw thrown;
    return NO_KV;
  }
}
