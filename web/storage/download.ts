// SPDX-License-Identifier: Apache-2.0
// One file from a server into memory and the store, whatever happens on the way: it ends with the
// right bytes or with one error that names the file.

import { sha256, type Bytes } from './bytes.ts';
import { StorageError, aborted, textOf, throwIfAborted } from './errors.ts';
import { backOnline, isOffline, pause, type Gate } from './gate.ts';
import {
  contentLength, htmlError, isHtmlType, isPassing, looksLikeHtml, parseContentRange, retryAfter,
  statusError, strongEtag, type Transport,
} from './http.ts';
import type { Keep } from './keep.ts';
import type { FileEntry } from './manifest.ts';
import type { Meter } from './progress.ts';

export interface DownloadJob {
  entry: FileEntry;
  url: string;
  /** Exactly entry.bytes long. */
  buffer: Bytes;
  keep: Keep;
  gate: Gate;
  meter: Meter;
  signal: AbortSignal | undefined;
  transport: Transport;
  /** Which other file of the model has this hash, if any: says that shards were swapped. */
  nameOf(sha256: string): string | undefined;
}

/** Fills job.buffer with verified bytes; keep has all of them and is to be committed. */
export async function download(job: DownloadJob): Promise<void> {
  await new Download(job).run();
}

// A failure that may pass: the request is repeated from where it stopped.
class Passing extends Error {
  readonly error: StorageError;
  readonly waitMs: number;
  constructor(error: StorageError, waitMs = 0) {
    super(error.message);
    this.error = error;
    this.waitMs = waitMs;
  }
}

// The answer doesn't continue what we have: ask for the whole at once.
class StartOver extends Error {}

// What was got is not what the manifest promises.
class Wrong extends Error {
  readonly error: StorageError;
  constructor(error: StorageError) {
    super(error.message);
    this.error = error;
  }
}

const enoughProgress = 64 * 1024;
const maxBackoffMs = 10_000;
const storeEvery = 2 ** 20;
const chunkBytes = 2 ** 18;

class Download {
  private readonly job: DownloadJob;
  private readonly file: string;
  private readonly total: number;
  private have = 0;     // bytes at the start of the buffer
  private stored = 0;   // of these, given to keep
  private failures = 0;
  private best = 0;  // the most that `have` ever was
  private progressed = 0;  // bytes beyond that since the last failure
  private resumable = true;  // false once a range was answered wrongly
  private refetched = false;
  private etagChanged = false;
  private stalled = false;

  constructor(job: DownloadJob) {
    this.job = job;
    this.file = job.entry.file;
    this.total = job.entry.bytes;
  }

  async run(): Promise<void> {
    const { job } = this;
    this.have = this.stored = this.best = await job.keep.resume(job.buffer);
    job.meter.fromStore(this.file, this.have);
    for (;;) {
      if (job.gate.closed) job.meter.state('paused');
      await job.gate.passed(job.signal, this.file);
      try {
        if (this.have < this.total) await this.request();
        await this.check();
        return;
      } catch (error) {
        await this.survive(error);
      }
    }
  }

  private async check(): Promise<void> {
    const found = await sha256(this.job.buffer, this.file);
    if (found === this.job.entry.sha256) return;
    if (this.etagChanged) throw new Wrong(this.changedError());
    const other = this.job.nameOf(found);
    const what = other ? `these are the bytes of ${other}` : 'the bytes are not those promised';
    throw new Wrong(new StorageError('hash_mismatch', this.file,
      `SHA-256 is ${found}, the manifest says ${this.job.entry.sha256}: ${what}; ` +
      'the server has a damaged or different copy, get the model from its publisher'));
  }

  private changedError(): StorageError {
    return new StorageError('etag_changed', this.file,
      'the file changed on the server during the download and is not the one of this manifest; ' +
      'open the model again to get the new manifest');
  }

  private async survive(error: unknown): Promise<void> {
    const { job } = this;
    if (job.signal?.aborted) {
      await this.store(true);
      throw aborted(this.file);
    }
    if (error instanceof Wrong) return this.refetch(error.error);
    if (error instanceof StartOver) return this.restart();
    if (error instanceof StorageError) {
      await this.store(true);
      throw error;
    }
    await this.store(true);
    if (!this.resumable) await this.restart();
    if (!job.gate.closed) await this.waitAfter(this.passing(error));
  }

  // Once more, whole and without ranges; the second time it is told.
  private async refetch(error: StorageError): Promise<void> {
    if (this.refetched) {
      await this.job.keep.discard();
      throw error;
    }
    this.refetched = true;
    await this.restart();
  }

  private async restart(): Promise<void> {
    this.resumable = false;
    this.forget();
    await this.job.keep.begin(null);
  }

  private forget(): void {
    this.job.meter.lost(this.file, this.have);
    this.have = this.stored = 0;
  }

  private passing(error: unknown): Passing {
    if (error instanceof Passing) return error;
    if (this.stalled) {
      return new Passing(new StorageError('network', this.file,
        `no byte came for ${this.job.transport.stallMs / 1000} s; ` +
        'check the connection, then go on'));
    }
    return new Passing(new StorageError('network', this.file,
      `the connection failed (${textOf(error)}); check the network, then go on`, { cause: error }));
  }

  private async waitAfter(failure: Passing): Promise<void> {
    const { job: { meter, signal, transport } } = this;
    if (isOffline()) {
      meter.state('offline');
      if (await backOnline(transport.waitOnlineMs, signal, this.file)) return;
      throw new StorageError('offline', this.file,
        `there is no network; ${this.have} of ${this.total} bytes are kept, go on when it is back`);
    }
    this.failures = this.progressed >= enoughProgress ? 1 : this.failures + 1;
    this.progressed = 0;
    if (this.failures > transport.retries) throw failure.error;
    meter.state('retrying');
    const backoff = transport.backoffMs * 2 ** (this.failures - 1) * (0.75 + Math.random() / 2);
    await pause(Math.max(failure.waitMs, Math.min(backoff, maxBackoffMs)), signal, this.file);
  }

  private async request(): Promise<void> {
    const { job } = this;
    const control = new AbortController();
    const stop = (): void => control.abort();
    const closes = job.gate.closes;
    const signals = job.signal ? [job.signal, closes] : [closes];
    for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
    const clock = new StallClock(job.transport.stallMs, () => {
      this.stalled = true;
      stop();
    });
    this.stalled = false;
    try {
      throwIfAborted(job.signal, this.file);
      const response = await job.transport.fetch(job.url, this.init(control.signal));
      this.accept(response);
      await this.drain(response, clock);
    } finally {
      clock.stop();
      for (const signal of signals) signal.removeEventListener('abort', stop);
      stop();
    }
  }

  private init(signal: AbortSignal): RequestInit {
    const { headers, credentials } = this.job.transport;
    const wanted: Record<string, string> = { ...headers };
    if (this.have > 0) {
      wanted['Range'] = `bytes=${this.have}-`;
      // Elsewhere the header would need the server's leave; there the answer's ETag is compared.
      if (this.job.keep.etag && isSameOrigin(this.job.url)) wanted['If-Range'] = this.job.keep.etag;
    }
    return { headers: wanted, credentials, signal, cache: 'no-store' };
  }

  // Decides whether the body continues what we have, or begins anew.
  private accept(response: Response): void {
    const { status, headers } = response;
    const { url } = this.job;
    if (status === 416 && this.have > 0) throw new StartOver();
    if (status !== 200 && !(status === 206 && this.have > 0)) {
      const error = statusError(this.file, url, status);
      throw isPassing(status) ? new Passing(error, retryAfter(headers)) : error;
    }
    if (isHtmlType(headers)) throw htmlError(this.file, url);
    const etag = strongEtag(headers);
    const known = this.job.keep.etag;
    if (this.have > 0 && etag && known && etag !== known) this.etagChanged = true;
    if (status === 206) this.acceptRange(headers);
  }

  private acceptRange(headers: Headers): void {
    const range = parseContentRange(headers.get('content-range'));
    if (headers.has('content-range')) {
      const continues = range && range.first === this.have && range.last === this.total - 1 &&
        (range.total === this.total || range.total === -1);
      if (!continues) throw new StartOver();
    }
    if (this.etagChanged) throw new StartOver();
  }

  private sizeError(found: number | string): StorageError {
    if (this.etagChanged) return this.changedError();
    return new StorageError('size_mismatch', this.file,
      `has ${found} bytes on the server, the manifest says ${this.total}; ` +
      'the server has a damaged or different copy, get the model from its publisher');
  }

  private async drain(response: Response, clock: StallClock): Promise<void> {
    if (!response.body) throw new Passing(this.sizeAtEnd());
    const next = chunksOf(response.body);
    let fresh = response.status === 200;
    for (let value = await next(); value; value = await next()) {
      clock.touch();
      if (fresh) {
        this.checkStart(value, response.headers);
        fresh = false;
        this.forget();
        await this.job.keep.begin(strongEtag(response.headers));
      }
      await this.take(value);
    }
    if (this.have < this.total) throw new Passing(this.sizeAtEnd());
    await this.store(true);
  }

  private checkStart(bytes: Uint8Array, headers: Headers): void {
    if (looksLikeHtml(bytes)) throw htmlError(this.file, this.job.url);
    const length = contentLength(headers);
    if (length >= 0 && length !== this.total) throw new Wrong(this.sizeError(length));
  }

  private sizeAtEnd(): StorageError {
    return new StorageError('size_mismatch', this.file,
      `ended after ${this.have} of ${this.total} bytes; the server's copy is cut short`);
  }

  private async take(bytes: Uint8Array): Promise<void> {
    if (this.have + bytes.length > this.total) {
      throw new Wrong(this.sizeError(`more than ${this.total}`));
    }
    this.job.buffer.set(bytes, this.have);
    this.have += bytes.length;
    this.progressed += Math.max(0, this.have - Math.max(this.best, this.have - bytes.length));
    this.best = Math.max(this.best, this.have);
    this.job.meter.fromNetwork(this.file, bytes.length);
    await this.store(false);
  }

  private async store(all: boolean): Promise<void> {
    const count = this.have - this.stored;
    if (count === 0 || (!all && count < storeEvery)) return;
    const from = this.stored;
    this.stored = this.have;
    await this.job.keep.append(this.job.buffer.subarray(from, this.have));
  }
}

// Through one small buffer where the browser can, so that a download leaves no garbage behind it.
// A chunk is valid until the next.
function chunksOf(body: ReadableStream<Bytes>): () => Promise<Uint8Array | null> {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: 'byob' });
  } catch {
    const plain = body.getReader();
    return async () => (await plain.read()).value ?? null;
  }
  let buffer = new ArrayBuffer(chunkBytes);
  return async () => {
    const { value, done } = await reader.read(new Uint8Array(buffer));
    if (value) buffer = value.buffer;
    return done ? null : value;
  };
}

function isSameOrigin(url: string): boolean {
  const here = globalThis.location?.origin;
  return here === undefined || new URL(url).origin === here;
}

// Calls `expired` when touch() was not called for `ms`.
class StallClock {
  private readonly ms: number;
  private readonly expired: () => void;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private touched = performance.now();

  constructor(ms: number, expired: () => void) {
    this.ms = ms;
    this.expired = expired;
    this.arm(ms);
  }

  touch(): void {
    this.touched = performance.now();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private arm(wait: number): void {
    this.timer = setTimeout(() => {
      const left = this.touched + this.ms - performance.now();
      if (left > 1) this.arm(left);
      else this.expired();
    }, wait);
  }
}
