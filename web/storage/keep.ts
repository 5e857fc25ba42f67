// SPDX-License-Identifier: Apache-2.0
// Where a download leaves its bytes. A download never fails because storing fails: without room,
// or with a broken disk, it goes on in memory and the store says so.

import type { Backend, Part } from './backend.ts';
import type { Bytes } from './bytes.ts';
import { isHash } from './bytes.ts';
import { isQuotaError } from './errors.ts';

/** What to do about a write that failed: true after room was made, to try again. May throw. */
export type OnFailure = (error: unknown) => Promise<boolean>;

const pieceBytes = 2 ** 20;

export class Keep {
  /** The strong ETag under which the stored beginning was got, or null. */
  etag: string | null = null;
  private readonly backend: Backend;
  private readonly sha256: string;
  private readonly onFailure: OnFailure;
  private part: Part | null = null;

  private constructor(backend: Backend, sha256: string, onFailure: OnFailure) {
    this.backend = backend;
    this.sha256 = sha256;
    this.onFailure = onFailure;
  }

  static async open(backend: Backend, sha256: string, onFailure: OnFailure): Promise<Keep> {
    const keep = new Keep(backend, sha256, onFailure);
    await keep.attempt(async () => {
      keep.part = await backend.openPart(sha256);
    });
    return keep;
  }

  /** Whether bytes still go to the store. */
  get storing(): boolean {
    return this.part !== null;
  }

  /** Copies the stored beginning into `into`, tells its length. */
  async resume(into: Bytes): Promise<number> {
    const { part } = this;
    if (!part || part.length === 0) return 0;
    if (part.length > into.length) {
      await this.attempt(() => part.reset());
      return 0;
    }
    const length = part.length;
    let whole = false;
    await this.attempt(async () => {
      await part.read(into);
      const note = await this.backend.getRecord(this.note()) as { etag?: unknown } | undefined;
      this.etag = typeof note?.etag === 'string' ? note.etag : null;
      whole = true;
    });
    return whole ? length : 0;
  }

  /** Forgets what is stored; what follows comes under this ETag. */
  async begin(etag: string | null): Promise<void> {
    this.etag = etag;
    const { part } = this;
    await this.attempt(async () => {
      await part?.reset();
      await this.backend.putRecord(this.note(), { etag });
    });
  }

  /** `bytes` must stay as they are until commit() or close(). */
  async append(bytes: Bytes): Promise<void> {
    for (let at = 0; at < bytes.length && this.part; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes);
      await this.attempt(async () => this.part?.append(piece));
    }
  }

  /** True when the blob is whole now; false when it lives in memory alone. */
  async commit(): Promise<boolean> {
    const { part } = this;
    if (!part) return false;
    await this.attempt(() => part.commit());
    const stored = this.part !== null;
    this.part = null;
    if (stored) await this.backend.removeRecord(this.note());
    return stored;
  }

  /** Keeps the bytes for a later download. */
  async close(): Promise<void> {
    const { part } = this;
    this.part = null;
    await part?.close().catch(() => {});
  }

  async discard(): Promise<void> {
    const { part } = this;
    this.part = null;
    await part?.discard().catch(() => {});
    await this.backend.removeRecord(this.note()).catch(() => {});
  }

  private note(): string {
    return `part-${isHash(this.sha256) ? this.sha256 : ''}`;
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const again = await this.decide(error);
        if (again && isQuotaError(error)) continue;
        return this.discard();
      }
    }
  }

  private async decide(error: unknown): Promise<boolean> {
    try {
      return await this.onFailure(error);
    } catch (refusal) {
      await this.discard();
      throw refusal;
    }
  }
}
