// SPDX-License-Identifier: Apache-2.0
// For pages that may store nothing: small models stay in memory up to a budget, larger ones are
// fetched each time.

import type { Backend, Part } from './backend.ts';
import type { Bytes } from './bytes.ts';
import { StorageError } from './errors.ts';

export class MemoryBackend implements Backend {
  readonly kind = 'memory';
  private readonly whole = new Map<string, Bytes>();
  private readonly parts = new Map<string, Bytes[]>();
  private readonly records = new Map<string, string>();
  private readonly budget: number;
  private used = 0;

  /** `budget` in bytes, of blobs and parts. */
  constructor(budget: number) {
    this.budget = budget;
  }

  async size(sha256: string): Promise<number> {
    return this.whole.get(sha256)?.length ?? -1;
  }

  async read(sha256: string, offset: number, into: Bytes): Promise<boolean> {
    const bytes = this.whole.get(sha256);
    if (!bytes || bytes.length < offset + into.length) return false;
    into.set(bytes.subarray(offset, offset + into.length));
    return true;
  }

  async slice(sha256: string, first: number, count: number): Promise<Blob | null> {
    const bytes = this.whole.get(sha256);
    return bytes ? new Blob([bytes.subarray(first, first + count)]) : null;
  }

  async openPart(sha256: string): Promise<Part> {
    const chunks = this.parts.get(sha256) ?? [];
    this.parts.set(sha256, chunks);
    return new MemoryPart(chunks, (bytes) => this.take(bytes), {
      commit: () => this.commit(sha256),
      discard: () => void this.parts.delete(sha256),
    });
  }

  async remove(sha256: string): Promise<void> {
    this.take(-(this.whole.get(sha256)?.length ?? 0));
    this.take(-lengthOf(this.parts.get(sha256) ?? []));
    this.whole.delete(sha256);
    this.parts.delete(sha256);
  }

  async list(): Promise<{ whole: string[]; parts: string[] }> {
    return { whole: [...this.whole.keys()], parts: [...this.parts.keys()] };
  }

  async getRecord(name: string): Promise<unknown> {
    const text = this.records.get(name);
    return text === undefined ? undefined : JSON.parse(text);
  }

  async putRecord(name: string, value: object): Promise<void> {
    this.records.set(name, JSON.stringify(value));
  }

  async removeRecord(name: string): Promise<void> {
    this.records.delete(name);
  }

  async recordNames(prefix: string): Promise<string[]> {
    return [...this.records.keys()].filter((name) => name.startsWith(prefix));
  }

  private take(bytes: number): void {
    if (bytes > 0 && this.used + bytes > this.budget) {
      throw new StorageError('quota', 'memory',
        `${this.used + bytes} bytes would exceed the budget of ${this.budget} bytes`);
    }
    this.used += bytes;
  }

  private commit(sha256: string): void {
    const chunks = this.parts.get(sha256) ?? [];
    const bytes = new Uint8Array(lengthOf(chunks));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    this.parts.delete(sha256);
    this.whole.set(sha256, bytes);
  }
}

function lengthOf(chunks: readonly Bytes[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

class MemoryPart implements Part {
  private readonly chunks: Bytes[];
  private readonly take: (bytes: number) => void;
  private readonly owner: { commit(): void; discard(): void };

  constructor(
    chunks: Bytes[], take: (bytes: number) => void, owner: { commit(): void; discard(): void },
  ) {
    this.chunks = chunks;
    this.take = take;
    this.owner = owner;
  }

  get length(): number {
    return lengthOf(this.chunks);
  }

  async read(into: Bytes): Promise<void> {
    let at = 0;
    for (const chunk of this.chunks) {
      into.set(chunk, at);
      at += chunk.length;
    }
  }

  async append(bytes: Bytes): Promise<void> {
    this.take(bytes.length);
    this.chunks.push(bytes.slice());
  }

  async reset(): Promise<void> {
    this.take(-this.length);
    this.chunks.length = 0;
  }

  async commit(): Promise<void> {
    this.owner.commit();
  }

  async close(): Promise<void> {}

  async discard(): Promise<void> {
    await this.reset();
    this.owner.discard();
  }
}
