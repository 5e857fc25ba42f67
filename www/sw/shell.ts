// SPDX-License-Identifier: Apache-2.0
// The app shell: every file of one build in a cache of its own, checked by SHA-256 when it comes.
// A build is there as a whole or not at all.

import { isolated } from './isolation.ts';

/** Path from the page's folder, and the SHA-256 of its bytes. */
export type ShellFile = readonly [file: string, sha256: string];

export interface ShellParts {
  build: string;
  files: readonly ShellFile[];
  /** The page's folder, with a slash at its end. */
  base: string;
  caches: CacheStorage;
  fetch: typeof fetch;
  /** What this machine never runs is fetched only when it is asked for after all. */
  isNeeded: (file: string) => boolean;
}

const PREFIX = 'lamina-shell-';
const HASH_HEADER = 'x-lamina-sha256';
const PAGE = 'index.html';
const AT_ONCE = 6;

export class Shell {
  readonly build: string;
  private readonly parts: ShellParts;
  private readonly files: ReadonlyMap<string, string>;

  constructor(parts: ShellParts) {
    this.parts = parts;
    this.build = parts.build;
    this.files = new Map(parts.files.map(([file, hash]) => [this.address(file), hash]));
  }

  /**
   * Brings the build into its cache; files that an older build had too are not fetched.
   * Throws when a file can't be had or is another one than was built: the browser tries again later.
   */
  async install(): Promise<void> {
    const cache = await this.parts.caches.open(PREFIX + this.build);
    const before = await this.olderCaches();
    const waiting = [...this.files].filter(([url]) => this.parts.isNeeded(url));
    const bring = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const [url, hash] = next;
        const answer = await known(before, url, hash) ?? await this.fetchChecked(url, hash);
        await cache.put(url, answer);
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, bring));
    } catch (error) {
      await this.parts.caches.delete(PREFIX + this.build);
      throw error;
    }
  }

  /** The file of this build, else of an older one that an open page may still be of. */
  async answer(request: Request): Promise<Response | null> {
    const url = this.fileOf(request);
    if (url === null) return null;
    if (this.files.has(url)) {
      const own = await this.parts.caches.open(PREFIX + this.build);
      return await own.match(url) ?? this.fetchLate(url, own);
    }
    for (const cache of await this.olderCaches()) {
      const found = await cache.match(url);
      if (found) return found;
    }
    return null;
  }

  /** Whether answer() may know more than null. */
  handles(request: Request): boolean {
    return this.fileOf(request) !== null;
  }

  /** Removes the builds that are neither this one nor in use. */
  async cleanUp(inUse: ReadonlySet<string>): Promise<void> {
    for (const name of await this.parts.caches.keys()) {
      const build = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : null;
      if (build === null || build === this.build || inUse.has(build)) continue;
      await this.parts.caches.delete(name);
    }
  }

  /** Removes every build. */
  async removeAll(): Promise<void> {
    for (const name of await this.parts.caches.keys()) {
      if (name.startsWith(PREFIX)) await this.parts.caches.delete(name);
    }
  }

  // Navigations to the page's folder are for the page, whatever their query says.
  private fileOf(request: Request): string | null {
    if (request.method !== 'GET') return null;
    const url = new URL(request.url);
    url.hash = '';
    if (request.mode === 'navigate') {
      url.search = '';
      if (url.href === this.parts.base) return this.address(PAGE);
    }
    if (this.files.has(url.href)) return url.href;
    return url.href.startsWith(this.address('assets/')) ? url.href : null;
  }

  private address(file: string): string {
    return new URL(file, this.parts.base).href;
  }

  private async olderCaches(): Promise<Cache[]> {
    const { caches } = this.parts;
    const names = (await caches.keys())
      .filter((name) => name.startsWith(PREFIX) && name !== PREFIX + this.build);
    return Promise.all(names.map((name) => caches.open(name)));
  }

  // One of this build that was not needed, or that the browser has thrown away.
  private async fetchLate(url: string, own: Cache): Promise<Response | null> {
    const hash = this.files.get(url);
    if (hash === undefined) return null;
    try {
      const answer = await this.fetchChecked(url, hash);
      await own.put(url, answer.clone());
      return answer;
    } catch {
      return null; // the network's own answer says why
    }
  }

  private async fetchChecked(url: string, hash: string): Promise<Response> {
    const answer = await this.parts.fetch(url, { cache: 'no-cache', credentials: 'same-origin' });
    if (!answer.ok) throw new Error(`${url}: HTTP ${answer.status}`);
    const bytes = await answer.arrayBuffer();
    if (await sha256(bytes) !== hash) throw new Error(`${url}: not the file that was built`);
    return isolated(answer, bytes, { [HASH_HEADER]: hash });
  }
}

async function known(caches: readonly Cache[], url: string, hash: string): Promise<Response | null> {
  for (const cache of caches) {
    const found = await cache.match(url);
    if (found?.headers.get(HASH_HEADER) === hash) return found;
  }
  return null;
}

async function sha256(bytes: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
