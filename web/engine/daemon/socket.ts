// SPDX-License-Identifier: Apache-2.0
// One WebSocket to a daemon: opened, spoken over, closed. Which session it carries is link.ts's.

import { LaminaError, throwIfAborted } from '../errors.ts';
import type { DaemonAddress } from '../types.ts';
import { parseFrame, type ClientMessage, type ServerFrame } from './frames.ts';

const OPEN_MS = 10000;

export interface SocketEvents {
  onFrame(frame: ServerFrame): void;
  /** Once, after which nothing else comes. */
  onClose(error: LaminaError): void;
}

/** Errors: `invalid_argument` where the address is none. */
export function daemonUrl(address: DaemonAddress): URL {
  const given = address.url ?? (typeof location === 'undefined' ? undefined : location.origin);
  if (given === undefined) {
    throw new LaminaError('invalid_argument', 'daemon.url is needed where no page has an address');
  }
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new LaminaError('invalid_argument', `daemon.url is not an address: ${given}`);
  }
  if (!['http:', 'https:', 'ws:', 'wss:'].includes(url.protocol)) {
    const what = `daemon.url must begin with http, https, ws or wss, not ${url.protocol}`;
    throw new LaminaError('invalid_argument', what);
  }
  return url;
}

function socketUrl(address: DaemonAddress): string {
  const url = daemonUrl(address);
  const secure = url.protocol === 'https:' || url.protocol === 'wss:';
  return `${secure ? 'wss' : 'ws'}://${url.host}/ws`;
}

// A browser does not tell why a WebSocket could not be opened; the HTTP side does.
async function whyRefused(address: DaemonAddress): Promise<LaminaError> {
  const url = socketUrl(address).replace(/^ws/, 'http').replace(/ws$/, 'v1/models');
  const headers: Record<string, string> = {};
  if (address.token) headers['Authorization'] = `Bearer ${address.token}`;
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(OPEN_MS) });
    if (response.status === 401) {
      const what = address.token ? 'refuses the token' : 'wants a token';
      return new LaminaError('unauthorized', `the daemon at ${new URL(url).host} ${what}`);
    }
    if (response.status === 403) {
      const what = `the daemon at ${new URL(url).host} does not take this page's origin`;
      return new LaminaError('unauthorized', what);
    }
    const what = `the daemon at ${new URL(url).host} takes no connection (HTTP ${response.status})`;
    return new LaminaError('connection_lost', what);
  } catch {
    return new LaminaError('connection_lost', `no daemon answers at ${new URL(url).host}`);
  }
}

export class DaemonSocket {
  private readonly socket: WebSocket;
  private readonly events: SocketEvents;
  private over = false;

  private constructor(socket: WebSocket, events: SocketEvents) {
    this.socket = socket;
    this.events = events;
    socket.onmessage = (message) => this.hear(message.data);
    socket.onclose = (event) => {
      const why = event.reason ? `${event.code}, ${event.reason}` : String(event.code);
      this.end(new LaminaError('connection_lost', `the daemon's connection closed (${why})`));
    };
  }

  /** Errors: `unauthorized`, `connection_lost`, `cancelled`. */
  static async open(
    address: DaemonAddress,
    events: SocketEvents,
    signal?: AbortSignal,
  ): Promise<DaemonSocket> {
    throwIfAborted(signal);
    const protocols = ['lamina.v1'];
    if (address.token) protocols.push(`bearer.${address.token}`);
    let socket: WebSocket;
    try {
      socket = new WebSocket(socketUrl(address), protocols);
    } catch (thrown) {
      throw LaminaError.from(thrown, 'connection_lost');
    }
    const opened = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), OPEN_MS);
      const settle = (good: boolean) => {
        clearTimeout(timer);
        resolve(good);
      };
      socket.onopen = () => settle(true);
      socket.onerror = () => settle(false);
      signal?.addEventListener('abort', () => settle(false), { once: true });
    });
    socket.onopen = null;
    socket.onerror = null;
    if (opened && !signal?.aborted) return new DaemonSocket(socket, events);
    socket.close();
    throwIfAborted(signal);
    throw await whyRefused(address);
  }

  say(message: ClientMessage): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Without onClose. */
  close(): void {
    this.over = true;
    this.socket.close();
  }

  /** As if the connection had closed: for one that is silent. */
  abandon(error: LaminaError): void {
    this.socket.close();
    this.end(error);
  }

  private hear(data: unknown): void {
    if (this.over) return;
    try {
      if (typeof data !== 'string') {
        throw new LaminaError('protocol', 'the daemon sent a message that is not text');
      }
      const frame = parseFrame(data);
      if (frame) this.events.onFrame(frame);
    } catch (thrown) {
      this.abandon(LaminaError.from(thrown, 'protocol'));
    }
  }

  private end(error: LaminaError): void {
    if (this.over) return;
    this.over = true;
    this.events.onClose(error);
  }
}
