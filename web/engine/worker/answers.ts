// SPDX-License-Identifier: Apache-2.0
// Answers, one after the other: each sets the seat's session up, steps it and tells what comes, until
// it ends or is left. Between two steps messages come in, and the runner may change.

import type { Model, Session, TokenEvent } from '../../abi/module.ts';
import { LaminaError } from '../errors.ts';
import type { GenerateRequest, GenerationEvent } from '../transport.ts';
import { answerOptions, promptIds, tokenEvent } from './answer_options.ts';
import { unlessAborted } from './deferred.ts';
import type { Runners, Stepped } from './runners.ts';
import type { Seat } from './seat.ts';
import { Turns } from './turns.ts';

const MOST_WAITING = 64;

export class Answers {
  readonly #model: Model;
  readonly #runners: Runners;
  readonly #seat: Seat;
  readonly #turns = new Turns(); // each as long as an answer, with many of the seat's within

  constructor(model: Model, runners: Runners) {
    this.#model = model;
    this.#runners = runners;
    this.#seat = runners.seat;
  }

  /** The events of one answer; the answers before it end first. */
  async *generate(
    request: GenerateRequest, signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    if (this.#turns.count >= MOST_WAITING) {
      throw new LaminaError('queue_full', `${this.#turns.count} answers wait already: try again later`);
    }
    const end = await this.#turns.take(signal).catch(() => undefined);
    if (!end) {
      const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
      yield { kind: 'done', finish: 'cancelled', usage };
      return;
    }
    try {
      yield* this.#answer(await this.#seat.alone(() => this.#begin(request)), signal);
    } finally {
      end();
    }
  }

  /** Does `work` between two answers. */
  between<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(work);
  }

  #begin(request: GenerateRequest): Session {
    const seat = this.#seat;
    const { engine } = seat.runner;
    const options = answerOptions(request);
    const { begun } = request;
    if (begun) {
      seat.session?.dispose();
      seat.session = undefined;
      return seat.session = engine.restoreSession({
        atLimit: 'stop', options: JSON.stringify(options), prompt: begun.promptIds,
        answer: begun.tokens, cancelled: false,
      });
    }
    const session = seat.session ??= engine.createSession();
    session.setPrompt(promptIds(this.#model, request.prompt), options);
    return session;
  }

  async *#answer(
    session: Session, signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    let losses = 0;
    try {
      const { promptTokens, reusedTokens } = session.usage;
      yield { kind: 'started', promptTokens, cachedTokens: reusedTokens };
      for (;;) {
        await eventLoop();
        const { events, later, lost } = await this.#step(session, signal, losses);
        if (lost) ++losses;
        if (later) await unlessAborted(later, signal);
        const told = tokenEvent(events);
        if (told) yield told;
        const done = doneEvent(session);
        if (!done) continue;
        yield done;
        return;
      }
    } finally {
      await this.#seat.alone(() => session.finished || this.#cancel(session)); // if it was left
    }
  }

  #step(session: Session, signal: AbortSignal, losses: number): Promise<Stepped> {
    return this.#seat.alone(() =>
      signal.aborted ? { events: [this.#cancel(session)] } : this.#runners.step(session, losses));
  }

  // In a turn of the seat.
  #cancel(session: Session): TokenEvent {
    this.#seat.runner.abandon(session);
    return session.cancel();
  }
}

function doneEvent(session: Session): GenerationEvent | undefined {
  const { finish, promptTokens, reusedTokens: cachedTokens, completionTokens } = session.usage;
  if (finish === 'none') return undefined;
  return { kind: 'done', finish, usage: { promptTokens, cachedTokens, completionTokens } };
}

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();

/** Lets messages in: timers would take 4 ms. */
function eventLoop(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
