// SPDX-License-Identifier: Apache-2.0
// A session of lamina.v1 that outlives its connections: requests go on over a reconnect, which says
// what was heard last and so gets every frame once.

import { AsyncQueue } from '../async_queue.ts';
import { LaminaError, throwIfAborted } from '../errors.ts';
import type { DaemonAddress, Notice } from '../types.ts';
import {
  refusalOf, type ClientMessage, type ErrorFrame, type HelloFrame, type RequestFrame,
  type ResumedFrame, type ServerFrame, type StatusFrame,
} from './frames.ts';
import { DaemonSocket } from './socket.ts';

const CLIENT = '@lamina/engine';
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5000;
const TELL_RECONNECT_MS = 1000; // shorter gaps are nobody's business
const HEARTBEAT_SECONDS = 5; // status frames while requests run; silence of three means it is dead
const DEFAULT_GRACE_SECONDS = 30;

type RequestMessage = Exclude<Extract<ClientMessage, { id: string }>, { type: 'cancel' }>;
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
type Greeting = HelloFrame | ResumedFrame | LaminaError;

interface Request {
  message: RequestMessage;
  lastSeq: number;
  frames: AsyncQueue<RequestFrame>;
}

export interface LinkOptions {
  address: DaemonAddress;
  onNotice?: ((notice: Notice) => void) | undefined;
  onStatus?: ((status: StatusFrame) => void) | undefined;
}

const LAST = new Set(['done', 'loaded', 'unloaded', 'switched']);

export class DaemonLink {
  private readonly options: LinkOptions;
  private readonly requests = new Map<string, Request>();
  private socket: DaemonSocket | undefined;
  private welcome: HelloFrame | undefined;
  private greeting: ((answer: Greeting) => void) | undefined;
  private connecting: Promise<void> | undefined;
  private heardAt = 0;
  private pulse: ReturnType<typeof setInterval> | undefined;
  private nextId = 1;
  private closed = false;
  private readonly leaving = new AbortController();

  constructor(options: LinkOptions) {
    this.options = options;
  }

  /** Opens the connection, if it is not open; what the daemon said first. */
  async hello(signal?: AbortSignal): Promise<HelloFrame> {
    if (this.closed) throw new LaminaError('closed', 'this engine was disposed');
    if (!this.socket) await (this.connecting ??= this.connectFirst(signal));
    if (!this.socket || !this.welcome) {
      throw new LaminaError('connection_lost', 'the daemon is away');
    }
    return this.welcome;
  }

  /**
   * Sends a request; its frames up to the last, which ends the iteration. A refusal is thrown.
   * Ending the iteration early forgets the request, and cancels a generation.
   */
  async request(message: WithoutId<RequestMessage>, signal?: AbortSignal): Promise<Asked> {
    await this.hello(signal);
    throwIfAborted(signal);
    const id = `r${this.nextId++}`;
    const frames = new AsyncQueue<RequestFrame>(() => this.leave(id));
    const whole = { ...message, id } as RequestMessage;
    this.requests.set(id, { message: whole, lastSeq: 0, frames });
    this.socket?.say(whole);
    this.watch();
    return { id, frames };
  }

  cancel(id: string): void {
    if (this.requests.has(id)) this.socket?.say({ type: 'cancel', id });
  }

  /** A status frame comes at once, and for as long as requests run now and then. */
  askStatus(): void {
    const interval = this.requests.size > 0 ? HEARTBEAT_SECONDS : 3600;
    this.socket?.say({ type: 'status', interval });
  }

  async close(): Promise<void> {
    this.closed = true;
    this.leaving.abort();
    this.failAll(new LaminaError('closed', 'this engine was disposed'));
    this.socket?.close();
    this.socket = undefined;
  }

  // --- connections ---

  private async connectFirst(signal?: AbortSignal): Promise<void> {
    try {
      await this.connect(signal);
    } finally {
      this.connecting = undefined;
    }
  }

  /** A session goes on where there is one, else a new one begins. */
  private async connect(signal?: AbortSignal): Promise<void> {
    const either = signal ? AbortSignal.any([signal, this.leaving.signal]) : this.leaving.signal;
    const events = {
      onFrame: (frame: ServerFrame) => this.hear(frame),
      onClose: (error: LaminaError) => this.lost(error),
    };
    const socket = await DaemonSocket.open(this.options.address, events, either);
    this.socket = socket;
    this.heardAt = performance.now();
    if (this.welcome && this.requests.size > 0) {
      const lastSeq: Record<string, number> = {};
      for (const [id, request] of this.requests) lastSeq[id] = request.lastSeq;
      const { session } = this.welcome;
      const answer = await this.greet({ type: 'resume', session, last_seq: lastSeq });
      if (!(answer instanceof LaminaError)) return this.resumed(answer as ResumedFrame);
      if (!this.socket) throw answer;
      this.failAll(answer); // the session is over
    }
    const answer = await this.greet({ type: 'hello', client: CLIENT });
    if (answer instanceof LaminaError) throw answer;
    this.welcome = answer as HelloFrame;
  }

  private greet(message: ClientMessage): Promise<Greeting> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.socket?.abandon(new LaminaError('connection_lost', 'the daemon says nothing'));
      }, 10000);
      this.greeting = (answer) => {
        clearTimeout(timer);
        this.greeting = undefined;
        resolve(answer);
      };
      this.socket?.say(message);
    });
  }

  // What the daemon never got is said again; its ids are unused there.
  private resumed(frame: ResumedFrame): void {
    const known = new Set(frame.requests.map((request) => request.id));
    for (const [id, request] of this.requests) {
      if (known.has(id)) continue;
      if (request.lastSeq === 0) this.socket?.say(request.message);
      else this.fail(id, new LaminaError('connection_lost', 'the daemon forgot this request'));
    }
    if (this.requests.size > 0) this.subscribe();
  }

  private lost(error: LaminaError): void {
    this.socket = undefined;
    if (this.greeting) return this.greeting(error);
    if (this.closed || this.requests.size === 0) return;
    if (error.code === 'protocol') return this.failAll(error);
    this.connecting ??= this.reconnect(error);
    this.connecting.catch(() => {}); // whoever waits has been told by then
  }

  private async reconnect(cause: LaminaError): Promise<void> {
    const began = performance.now();
    const grace = (this.welcome?.grace_seconds ?? DEFAULT_GRACE_SECONDS) * 1000;
    let told = false;
    let last = cause;
    const timer = setTimeout(() => {
      told = true;
      const text = 'the daemon is away; trying again';
      this.options.onNotice?.({ kind: 'reconnecting', text, cause: last });
    }, TELL_RECONNECT_MS);
    try {
      for (let delay = 0; this.requests.size > 0; delay = nextDelay(delay)) {
        await pause(delay, this.leaving.signal);
        try {
          await this.connect();
          const text = 'connected to the daemon again';
          if (told) this.options.onNotice?.({ kind: 'reconnected', text });
          return;
        } catch (thrown) {
          last = LaminaError.from(thrown, 'connection_lost');
          this.socket = undefined;
        }
        const gone = performance.now() - began;
        if (last.code !== 'connection_lost' || gone > grace) break;
      }
      this.failAll(last);
    } finally {
      clearTimeout(timer);
      this.connecting = undefined;
    }
  }

  // --- frames ---

  private hear(frame: ServerFrame): void {
    this.heardAt = performance.now();
    switch (frame.type) {
      case 'hello':
      case 'resumed':
        return this.greeting?.(frame);
      case 'status':
        return this.options.onStatus?.(frame);
      case 'error':
        return this.hearError(frame);
      default:
        return this.hearOf(frame);
    }
  }

  private hearOf(frame: RequestFrame): void {
    const request = this.requests.get(frame.id);
    if (!request || frame.seq <= request.lastSeq) return;
    if (frame.seq !== request.lastSeq + 1) {
      const what = `frame ${frame.seq} of ${frame.id} came after ${request.lastSeq}`;
      return this.fail(frame.id, new LaminaError('protocol', what));
    }
    request.lastSeq = frame.seq;
    request.frames.push(frame);
    if (!LAST.has(frame.type)) return;
    this.forget(frame.id);
    request.frames.end();
  }

  private hearError(frame: ErrorFrame): void {
    if (this.greeting) return this.greeting(refusalOf(frame));
    if (frame.id) return this.fail(frame.id, refusalOf(frame));
    if (frame.code === 'taken_over' || frame.code === 'gone') this.failAll(refusalOf(frame));
  }

  private fail(id: string, error: LaminaError): void {
    const request = this.requests.get(id);
    this.forget(id);
    request?.frames.fail(error);
  }

  private failAll(error: LaminaError): void {
    for (const id of [...this.requests.keys()]) this.fail(id, error);
  }

  private leave(id: string): void {
    if (this.requests.get(id)?.message.type === 'generate') this.cancel(id);
    this.forget(id);
  }

  private forget(id: string): void {
    if (!this.requests.delete(id) || this.requests.size > 0) return;
    clearInterval(this.pulse);
    this.pulse = undefined;
    if (!this.connecting) this.socket?.say({ type: 'status', subscribe: false });
  }

  // --- a connection that says nothing any more ---

  private watch(): void {
    if (this.pulse !== undefined) return;
    this.subscribe();
    this.pulse = setInterval(() => {
      const silent = performance.now() - this.heardAt;
      if (this.socket && silent > 3 * HEARTBEAT_SECONDS * 1000) {
        this.socket.abandon(new LaminaError('connection_lost', 'the daemon says nothing any more'));
      }
    }, HEARTBEAT_SECONDS * 1000);
  }

  private subscribe(): void {
    this.socket?.say({ type: 'status', interval: HEARTBEAT_SECONDS });
  }
}

export interface Asked {
  id: string;
  frames: AsyncQueue<RequestFrame>;
}

function nextDelay(delay: number): number {
  const doubled = Math.min(LONGEST_DELAY_MS, Math.max(FIRST_DELAY_MS, delay * 2));
  return doubled * (0.75 + Math.random() / 2); // not all clients of a restarted daemon at once
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms === 0 || signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
