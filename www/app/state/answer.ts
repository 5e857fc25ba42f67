// SPDX-License-Identifier: Apache-2.0
// One answer from its request to its end: text and numbers as they come, stored now and then, over
// moves to other engines, and on in this browser where a daemon is lost.

import { LaminaError, type Engine } from '@lamina/engine';
import { signal } from '@preact/signals';
import { t } from '../text/t.ts';
import { AnswerClock } from './answer_clock.ts';
import { answering } from './answering.ts';
import { current, messages, setMessage } from './conversations.ts';
import { putMessage, type Message } from './db.ts';
import { engineState, fallBackToBrowser, loadEngine } from './engine.ts';
import { liveNumbers, setLive } from './live.ts';
import { requestFor, type GenerateRequest } from './prompt.ts';
import { settings } from './settings.ts';
import { pathTo } from './tree.ts';

type Finish = Extract<GenerationEvent, { kind: 'done' }>['finish'];
type GenerationEvent = ReturnType<Engine['generate']> extends AsyncGenerator<infer E> ? E : never;

const STORE_MS = 500;

/** Models that complete text: they have no chat template. */
export const plainModels = signal<ReadonlySet<string>>(new Set());

let abort: AbortController | null = null;

/** The answer ends with what there is. */
export function stopAnswer(): void {
  abort?.abort();
}

const ENDS: Record<Finish, NonNullable<Message['end']>> = {
  eos: 'done', stop: 'done', length: 'length', context: 'context', cancelled: 'stopped',
};

/** Fills the message `id` of the open conversation, after `begun`. Failures are stored with it. */
export async function answer(id: string, { begun }: { begun: string }): Promise<void> {
  const message = messages.value.get(id);
  const conversation = current.value;
  const taken = answering.value && answering.value.message !== id;
  if (!message || !conversation || taken) return;
  const path = pathTo(messages.value, message.parent);
  const { signal: stopped } = (abort = new AbortController());
  const { error: _, ...clean } = message;
  const run = new Run({ ...clean, content: begun, end: 'unfinished' }, path, conversation.systemPrompt, stopped);
  answering.value = { conversation: conversation.id, message: id };
  setMessage(run.message);
  setLive(id, begun);
  const leaving = () => run.store();
  addEventListener('pagehide', leaving);
  try {
    await run.toItsEnd();
  } finally {
    removeEventListener('pagehide', leaving);
    setMessage(run.message);
    await putMessage(run.message).catch(() => {});
    liveNumbers.value = null;
    answering.value = null;
    setLive(null, '');
    abort = null;
  }
}

// Ends waiting, but not what is waited for: the engine goes on loading.
function unlessStopped<T>(work: Promise<T>, stopped: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancelled = () => reject(new LaminaError('cancelled', 'stopped'));
    if (stopped.aborted) cancelled();
    stopped.addEventListener('abort', cancelled, { once: true });
    work.then(resolve, reject);
  });
}

class Run {
  message: Message;
  private readonly path: Message[];
  private readonly systemPrompt: string;
  private readonly stopped: AbortSignal;
  private clock = new AnswerClock();
  private storedAt = -Infinity; // the first words are stored at once

  constructor(message: Message, path: Message[], systemPrompt: string, stopped: AbortSignal) {
    this.message = message;
    this.path = path;
    this.systemPrompt = systemPrompt;
    this.stopped = stopped;
  }

  async toItsEnd(): Promise<void> {
    try {
      const engine = await unlessStopped(loadEngine(), this.stopped);
      this.clock = new AnswerClock();
      await this.generate(engine);
    } catch (thrown) {
      this.fail(LaminaError.from(thrown));
    }
  }

  private async generate(engine: Engine): Promise<void> {
    try {
      await this.stream(engine, plainModels.value.has(engine.info.model));
    } catch (thrown) {
      const error = LaminaError.from(thrown);
      if (this.stopped.aborted) throw error;
      if (error.code === 'unsupported' && error.message.includes('chat template')) {
        plainModels.value = new Set(plainModels.value).add(engine.info.model);
        await this.stream(engine, true);
      } else if (error.code === 'connection_lost' && (await fallBackToBrowser(error))) {
        await this.stream(engine, plainModels.value.has(engine.info.model));
      } else {
        throw error;
      }
    }
  }

  private request(plain: boolean): GenerateRequest {
    return requestFor(this.path, this.message.content, plain, this.systemPrompt, settings.sampling.value);
  }

  private async stream(engine: Engine, plain: boolean): Promise<void> {
    const { info } = engine;
    for await (const event of engine.generate(this.request(plain), this.stopped)) {
      if (event.kind === 'started') this.clock.started(event.promptTokens, event.cachedTokens, info);
      else if (event.kind === 'token') this.take(event.text, event.tokens.length, engine);
      else if (event.kind === 'done') this.end(ENDS[event.finish], engine);
    }
  }

  private take(text: string, tokens: number, engine: Engine): void {
    this.message.content += text;
    const sampled = this.clock.tokens(tokens, engine.info.engine);
    if (sampled) liveNumbers.value = sampled;
    if (text !== '') setLive(this.message.id, this.message.content);
    if (text !== '' && performance.now() - this.storedAt > STORE_MS) this.store();
  }

  /** What there is, in case that the page does not live to see the end. */
  store(): void {
    this.storedAt = performance.now();
    void putMessage({ ...this.message }).catch(() => {});
  }

  private end(end: NonNullable<Message['end']>, engine: Engine): void {
    const numbers = this.clock.finish(engine.info);
    this.message = { ...this.message, end, ...(numbers ? { numbers } : {}) };
  }

  private fail(error: LaminaError): void {
    const { info } = engineState.value;
    const numbers = info && this.clock.finish(info);
    const known = { ...this.message, ...(numbers ? { numbers } : {}) };
    const stopped = this.stopped.aborted || error.code === 'cancelled';
    const hint = error.code === 'context_exceeded' ? ` ${t('chat.contextHint')}` : '';
    this.message = stopped ? { ...known, end: 'stopped' } : { ...known, end: 'failed', error: error.message + hint };
  }
}
