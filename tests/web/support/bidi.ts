// SPDX-License-Identifier: Apache-2.0
// A connection by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

const ANSWER_MS = 120_000;

export type Params = Readonly<Record<string, unknown>>;

interface Answer {
  id?: number;
  type: 'success' | 'error' | 'event';
  method?: string;
  params?: Params;
  result?: unknown;
  error?: string;
  message?: string;
}

type Hear = (params: Params) => void;
interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

export class Bidi {
  private readonly socket: WebSocket;
  private readonly waiting = new Map<number, Waiting>();
  private readonly hearers = new Map<string, Hear[]>();
  private last = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => this.take(JSON.parse(String(data)) as Answer));
    socket.addEventListener('close', () => {
      for (const id of [...this.waiting.keys()]) this.settle(id)?.reject(new Error('the browser has gone'));
    });
  }

  static async connect(address: string): Promise<Bidi> {
    const socket = new WebSocket(address);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve(), { once: true });
      socket.addEventListener('error', () => reject(new Error(`no connection to ${address}`)), { once: true });
    });
    return new Bidi(socket);
  }

  /** A command's result. */
  call<T>(method: string, params: Params): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = ++this.last;
      const late = () => this.settle(id)?.reject(new Error(`the browser has not answered ${method}`));
      this.waiting.set(id, { resolve: resolve as (result: unknown) => void, reject, timer: setTimeout(late, ANSWER_MS) });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** After `session.subscribe`. */
  on(event: string, hear: Hear): void {
    this.hearers.set(event, [...(this.hearers.get(event) ?? []), hear]);
  }

  private take({ id, type, method, params, result, error, message }: Answer): void {
    if (type === 'event') {
      for (const hear of this.hearers.get(method ?? '') ?? []) hear(params ?? {});
      return;
    }
    const call = this.settle(id ?? 0);
    if (type === 'error') call?.reject(new Error(`${error}: ${message}`));
    else call?.resolve(result);
  }

  private settle(id: number): Waiting | undefined {
    const call = this.waiting.get(id);
    clearTimeout(call?.timer);
    this.waiting.delete(id);
    return call;
  }
}
