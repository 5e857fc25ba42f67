// SPDX-License-Identifier: Apache-2.0
// One writer across the tabs of an origin. Where Web Locks are missing or refused (then storage is
// refused as well), the locks hold within this context alone.

import { StorageError, aborted, isNamed } from './errors.ts';

type Mode = 'exclusive' | 'shared';

export class Locks {
  private readonly manager: LockManager | undefined;
  private refused = false;
  private readonly tails = new Map<string, Promise<unknown>>();
  private readonly shared = new Map<string, number>();

  constructor(manager: LockManager | undefined = globalThis.navigator?.locks) {
    this.manager = manager;
  }

  /** Waits for the lock, then runs `work` under it. @throws StorageError aborted */
  async hold<T>(
    name: string, work: () => Promise<T>, signal?: AbortSignal, mode: Mode = 'exclusive',
  ): Promise<T> {
    let entered = false;
    const options: LockOptions = { mode, ...(signal ? { signal } : {}) };
    const enter = (): Promise<T> => {
      entered = true;
      return work();
    };
    if (!this.manager || this.refused) return this.local(name, mode, enter);
    try {
      return await this.manager.request(lockName(name), options, enter) as T;
    } catch (error) {
      if (entered || error instanceof StorageError) throw error;
      if (signal?.aborted) throw aborted(name);
      if (!isNamed(error, 'SecurityError') && !isNamed(error, 'InvalidStateError')) throw error;
      this.refused = true;
      return this.local(name, mode, enter);
    }
  }

  /** Runs `work` if nobody holds the lock; false without it otherwise. */
  async tryHold(name: string, work: () => Promise<void>): Promise<boolean> {
    if (!this.manager || this.refused) {
      if (this.tails.has(name) || this.shared.has(name)) return false;
      await this.local(name, 'exclusive', work);
      return true;
    }
    return await this.manager.request(lockName(name), { ifAvailable: true }, async (lock) => {
      if (lock) await work();
      return lock !== null;
    }) as boolean;
  }

  private async local<T>(name: string, mode: Mode, work: () => Promise<T>): Promise<T> {
    if (mode === 'shared') return this.localShared(name, work);
    const before = this.tails.get(name);
    const mine = (async () => {
      await before?.catch(() => {});
      return work();
    })();
    this.tails.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.tails.get(name) === mine) this.tails.delete(name);
    }
  }

  // Models in use are locked shared, and exclusively by tryHold alone: nobody waits here.
  private async localShared<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.shared.set(name, (this.shared.get(name) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.shared.get(name) ?? 1) - 1;
      if (left > 0) this.shared.set(name, left);
      else this.shared.delete(name);
    }
  }
}

function lockName(name: string): string {
  return `lamina-store:${name}`;
}
