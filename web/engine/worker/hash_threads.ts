// SPDX-License-Identifier: Apache-2.0
// Hashes checked beside each other: browsers may compute a digest on the thread that asks for it, and
// first touches of memory cost as much as the digest.

import { startWorker, type AnyWorker } from '../../abi/threads.ts';
import { hashHere, type Bytes, type Hasher } from '../../storage/index.ts';
import { LaminaError } from '../errors.ts';

type Checked = { bytes: Bytes; good: boolean };
type Answer = { id: number; error?: string } & Checked;
interface Waiting {
  resolve: (checked: Checked) => void;
  reject: (error: unknown) => void;
}

const PATIENCE_MS = 10_000; // with a thread that is to end

class HashThread {
  #last: Promise<unknown> = Promise.resolve(); // checks end in their order
  readonly waiting = new Map<number, Waiting>();
  readonly #worker: AnyWorker;
  #next = 0;

  constructor(url: URL | undefined) {
    this.#worker = startWorker(url, (message) => this.#hear(message as Answer));
  }

  check(bytes: Bytes, sha256: string, place?: Uint8Array): Promise<Checked> {
    const id = this.#next++;
    const checked = new Promise<Checked>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, bytes, sha256, place }, [bytes.buffer]);
    });
    this.#last = checked.catch(() => {});
    return checked;
  }

  /** Ends it after what it has been asked, or when that does not come. */
  async end(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((done) => (timer = setTimeout(done, PATIENCE_MS)));
    await Promise.race([this.#last, late]);
    clearTimeout(timer);
    this.stop('stopped');
  }

  stop(why: string): void {
    this.#worker.terminate();
    for (const { reject } of this.waiting.values()) reject(new LaminaError('io', why));
    this.waiting.clear();
  }

  #hear({ id, bytes, good, error }: Answer): void {
    if (error !== undefined) return this.stop(`a thread that checks hashes ended: ${error}`);
    this.waiting.get(id)?.resolve({ bytes, good });
    this.waiting.delete(id);
  }
}

export class HashThreads implements Hasher {
  readonly #started: Promise<HashThread[]>;
  #stopped = false;

  /** Starts `n`; those that cannot start are done without. `url`: of thread.js, see Threads. */
  constructor(n: number, url?: URL) {
    const start = async (): Promise<HashThread | null> => {
      try {
        const thread = new HashThread(url);
        await thread.check(new Uint8Array(0), '');
        return thread;
      } catch {
        return null; // a policy forbids it
      }
    };
    this.#started = Promise.all(Array.from({ length: n }, start))
      .then((all) => all.filter((thread) => thread !== null));
  }

  async check(bytes: Bytes, sha256: string, place?: Uint8Array): Promise<Checked> {
    const threads = await this.#started;
    if (this.#stopped) throw new LaminaError('closed', 'hashes are not checked any more');
    const [first, ...others] = threads;
    if (!first) return hashHere.check(bytes, sha256, place);
    const least = others.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a), first);
    return least.check(bytes, sha256, place);
  }

  /** Resolves when no thread writes to a place any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all((await this.#started).map((thread) => thread.end()));
  }
}
