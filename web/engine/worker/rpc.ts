// SPDX-License-Identifier: Apache-2.0
// Calls between a page and its worker: a call has one result, or a stream of events and an end;
// either can be aborted. Errors keep their codes.

import { AsyncQueue } from '../async_queue.ts';
import { LaminaError, throwIfAborted, type ErrorRecord } from '../errors.ts';

/** What a worker can be asked: a promise for a call, an async iterable for a stream. */
export type Handlers = Record<string, (args: never, signal: AbortSignal) => unknown>;

type ArgsOf<F> = F extends (args: infer A, signal: AbortSignal) => unknown ? A : never;
type ResultOf<F> = F extends (args: never, signal: AbortSignal) => Promise<infer R> ? R : never;
type EventOf<F> = F extends (args: never, signal: AbortSignal) => AsyncIterable<infer E> ? E : never;

type Asked = { id: number; call: string; args: unknown } | { id: number; abort: true };
type Answered = { id: number } & (
  | { result: unknown }
  | { event: unknown }
  | { end: true }
  | { error: ErrorRecord }
);

/** A MessagePort, a worker, or the inside of one. */
export interface Port {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** A trap leaves a module's memory in an unknown state: its worker is to be given up. */
function errorOf(thrown: unknown): LaminaError {
  if (thrown instanceof WebAssembly.RuntimeError) {
    const what = `the engine's module trapped: ${thrown.message}`;
    return new LaminaError('worker_lost', what, { cause: thrown });
  }
  return LaminaError.from(thrown, 'io');
}

/** Answers calls on `port` for as long as it lives. */
export function serve(port: Port, handlers: Handlers): void {
  const running = new Map<number, AbortController>();
  const say = (answer: Answered) => port.postMessage(answer);
  const run = async (id: number, call: string, args: unknown, signal: AbortSignal) => {
    const handler = Object.hasOwn(handlers, call) ? handlers[call] : undefined;
    if (!handler) throw new LaminaError('protocol', `the worker knows no call ${call}`);
    const answer = handler(args as never, signal);
    if (!isStream(answer)) return say({ id, result: await answer });
    for await (const event of answer) say({ id, event });
    say({ id, end: true });
  };
  port.onmessage = ({ data }: MessageEvent<Asked>) => {
    if ('abort' in data) return running.get(data.id)?.abort();
    const abort = new AbortController();
    running.set(data.id, abort);
    run(data.id, data.call, data.args, abort.signal)
      .catch((thrown) => say({ id: data.id, error: errorOf(thrown).toRecord() }))
      .finally(() => running.delete(data.id));
  };
}

interface Waiting {
  result?: (value: unknown) => void;
  events?: AsyncQueue<unknown>;
  fail: (error: LaminaError) => void;
}

export class RpcClient<H extends Handlers> {
  private readonly port: Port;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private dead: LaminaError | undefined;

  constructor(port: Port) {
    this.port = port;
    port.onmessage = ({ data }: MessageEvent<Answered>) => this.hear(data);
  }

  /** The result, or the error that the handler threw; `cancelled` at once when `signal` fires. */
  async call<K extends keyof H & string>(
    name: K, args: ArgsOf<H[K]>, signal?: AbortSignal, transfer: Transferable[] = [],
  ): Promise<ResultOf<H[K]>> {
    throwIfAborted(signal);
    if (this.dead) throw this.dead;
    const id = this.nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.waiting.set(id, { result: resolve, fail: reject });
    });
    const abort = () => {
      this.port.postMessage({ id, abort: true });
      this.settle(id)?.fail(new LaminaError('cancelled', 'the call was aborted'));
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.port.postMessage({ id, call: name, args }, transfer);
      return (await answer) as ResultOf<H[K]>;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Events up to the end. When `signal` fires, the handler decides how the stream ends. */
  async *stream<K extends keyof H & string>(
    name: K, args: ArgsOf<H[K]>, signal?: AbortSignal,
  ): AsyncGenerator<EventOf<H[K]>, void, void> {
    throwIfAborted(signal);
    if (this.dead) throw this.dead;
    const id = this.nextId++;
    const abort = () => this.port.postMessage({ id, abort: true });
    const events = new AsyncQueue<unknown>(abort);
    this.waiting.set(id, { events, fail: (error) => events.fail(error) });
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.port.postMessage({ id, call: name, args });
      for await (const event of events) yield event as EventOf<H[K]>;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.waiting.delete(id);
    }
  }

  /** The other side is gone: everything asked ends with `error`, and what is asked later. */
  end(error: LaminaError): void {
    this.dead ??= error;
    for (const id of [...this.waiting.keys()]) this.settle(id)?.fail(error);
  }

  private hear(answer: Answered): void {
    if ('event' in answer) return this.waiting.get(answer.id)?.events?.push(answer.event);
    const waiting = this.settle(answer.id);
    if ('error' in answer) waiting?.fail(LaminaError.fromRecord(answer.error));
    else if ('result' in answer) waiting?.result?.(answer.result);
    else waiting?.events?.end();
  }

  private settle(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }
}
