// SPDX-License-Identifier: Apache-2.0
// @vitest-environment node
// The service worker's parts without a browser: caches are maps.

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { isSwitchedOff } from '../../../www/shared/kill_switch.ts';
import { buildsInUse } from '../../../www/sw/builds.ts';
import { isolated } from '../../../www/sw/isolation.ts';
import { isModelFile, isModelList, modelFile, modelList } from '../../../www/sw/models.ts';
import { Shell, type ShellFile } from '../../../www/sw/shell.ts';

const base = 'https://host/app/';
const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

class FakeCache {
  readonly held = new Map<string, Response>();
  async match(url: string): Promise<Response | undefined> {
    return this.held.get(url)?.clone();
  }
  async put(url: string, answer: Response): Promise<void> {
    this.held.set(url, answer);
  }
}

class FakeCaches {
  readonly all = new Map<string, FakeCache>();
  async open(name: string): Promise<FakeCache> {
    const found = this.all.get(name) ?? new FakeCache();
    this.all.set(name, found);
    return found;
  }
  async keys(): Promise<string[]> {
    return [...this.all.keys()];
  }
  async delete(name: string): Promise<boolean> {
    return this.all.delete(name);
  }
}

function server(files: Record<string, string>, headers: Record<string, string> = {}) {
  const asked: string[] = [];
  const get = async (url: RequestInfo | URL): Promise<Response> => {
    const file = String(url instanceof Request ? url.url : url).slice(base.length);
    asked.push(file);
    const text = files[file];
    return text === undefined ? new Response('none', { status: 404 }) : new Response(text, { headers });
  };
  return { asked, get: get as typeof fetch };
}

function shellOf(
  build: string, files: Record<string, string>, caches: FakeCaches, get: typeof fetch, isNeeded = (_: string) => true,
): Shell {
  const list: ShellFile[] = Object.entries(files).map(([file, text]) => [file, hash(text)]);
  return new Shell({ build, files: list, base, caches: caches as unknown as CacheStorage, fetch: get, isNeeded });
}

const visit = (path: string, mode = 'no-cors') =>
  ({ url: `${base}${path}`, method: 'GET', mode }) as unknown as Request;

describe('shell', () => {
  const one = { 'index.html': '<1>', 'assets/a-11.js': 'a', 'icon.svg': 'i' };

  test('holds a whole build, with headers for isolation', async () => {
    const caches = new FakeCaches();
    const { get } = server(one, { 'Content-Type': 'text/html', 'Content-Encoding': 'br' });
    const shell = shellOf('one', one, caches, get);
    await shell.install();
    const page = await shell.answer(visit('?from=elsewhere', 'navigate'));
    expect(await page?.text()).toBe('<1>');
    expect(page?.headers.get('Cross-Origin-Opener-Policy')).toBe('same-origin');
    expect(page?.headers.get('Cross-Origin-Embedder-Policy')).toBe('require-corp');
    expect(page?.headers.has('Content-Encoding')).toBe(false);
  });

  test('a missing or wrong file leaves nothing behind', async () => {
    for (const wrong of [{ ...one, 'icon.svg': 'other' }, { 'index.html': '<1>' }]) {
      const caches = new FakeCaches();
      await expect(shellOf('one', one, caches, server(wrong as Record<string, string>).get).install()).rejects.toThrow(/icon|a-11|HTTP/);
      expect(await caches.keys()).toEqual([]);
    }
  });

  test('the next build takes what has not changed from the one before', async () => {
    const caches = new FakeCaches();
    await shellOf('one', one, caches, server(one).get).install();
    const two = { ...one, 'index.html': '<2>', 'assets/b-22.js': 'b' };
    const { asked, get } = server(two);
    await shellOf('two', two, caches, get).install();
    expect(asked.sort()).toEqual(['assets/b-22.js', 'index.html']);
  });

  test('an old page gets its scripts, never an old page', async () => {
    const caches = new FakeCaches();
    await shellOf('one', one, caches, server(one).get).install();
    const two = { 'index.html': '<2>', 'icon.svg': 'i' };
    const shell = shellOf('two', two, caches, server(two).get);
    await shell.install();
    expect(await (await shell.answer(visit('assets/a-11.js')))?.text()).toBe('a');
    expect(await (await shell.answer(visit('', 'navigate')))?.text()).toBe('<2>');
    await shell.cleanUp(new Set(['one']));
    expect(await caches.keys()).toHaveLength(2);
    await shell.cleanUp(new Set(['two']));
    expect(await caches.keys()).toEqual(['lamina-shell-two']);
  });

  test('other caches of this origin are left alone', async () => {
    const caches = new FakeCaches();
    await caches.open('somebody-else');
    const shell = shellOf('one', one, caches, server(one).get);
    await shell.install();
    await shell.cleanUp(new Set());
    await shell.removeAll();
    expect(await caches.keys()).toEqual(['somebody-else']);
  });

  test('what is not needed comes when it is asked for, and stays', async () => {
    const caches = new FakeCaches();
    const { asked, get } = server(one);
    const shell = shellOf('one', one, caches, get, (file) => !file.endsWith('icon.svg'));
    await shell.install();
    expect(asked).not.toContain('icon.svg');
    expect(await (await shell.answer(visit('icon.svg')))?.text()).toBe('i');
    expect(await (await shell.answer(visit('icon.svg')))?.text()).toBe('i');
    expect(asked.filter((file) => file === 'icon.svg')).toHaveLength(1);
  });

  test('what is not of the page is not answered', () => {
    const shell = shellOf('one', one, new FakeCaches(), server(one).get);
    const other = (url: string, method = 'GET') => ({ url, method, mode: 'cors' }) as unknown as Request;
    for (const url of [`${base}v1/models`, `${base}health/ready`, 'https://elsewhere/app/icon.svg']) {
      expect(shell.handles(other(url))).toBe(false);
    }
    expect(shell.handles(other(`${base}icon.svg`, 'POST'))).toBe(false);
    expect(shell.handles(visit('elsewhere/', 'navigate'))).toBe(false);
  });
});

describe('models', () => {
  const parts = (store: () => Promise<{ respond: (r: Request) => Promise<Response | null> }>, get: typeof fetch) =>
    ({ base, store: store as never, caches: new FakeCaches() as unknown as CacheStorage, fetch: get });

  test('files of a model folder, here and elsewhere', () => {
    const is = (url: string) => isModelFile(new Request(url));
    expect(is(`${base}models/m/manifest.json`)).toBe(true);
    expect(is('https://elsewhere/m/shards/00012.bin?sha256=ab')).toBe(true);
    expect(is(`${base}models/index.json`)).toBe(false);
    expect(is(`${base}manifest.webmanifest`)).toBe(false);
    expect(isModelFile(new Request(`${base}models/m/manifest.json`, { method: 'POST' }))).toBe(false);
  });

  test('the store first, the network where it cannot answer, also when storage is refused', async () => {
    const request = new Request(`${base}models/m/manifest.json`);
    const network = async () => new Response('network');
    const stored = parts(async () => ({ respond: async () => new Response('stored') }), network);
    expect(await (await modelFile(request, stored)).text()).toBe('stored');
    const lacks = parts(async () => ({ respond: async () => null }), network);
    expect(await (await modelFile(request, lacks)).text()).toBe('network');
    const refused = parts(async () => { throw new Error('no storage'); }, network);
    expect(await (await modelFile(request, refused)).text()).toBe('network');
  });

  test('the list of models is that of the last visit without network', async () => {
    const request = new Request(`${base}models/index.json`);
    expect(isModelList(request, base)).toBe(true);
    let online = true;
    const get = (async () => {
      if (!online) throw new TypeError('offline');
      return new Response('{"models":[]}');
    }) as typeof fetch;
    const here = parts(async () => ({ respond: async () => null }), get);
    await modelList(request, here);
    online = false;
    expect(await (await modelList(request, here)).text()).toBe('{"models":[]}');
  });
});

describe('other parts', () => {
  test('the switch is off only when the server says so', async () => {
    const says = (answer: () => Promise<Response>) => isSwitchedOff(base, answer as typeof fetch);
    expect(await says(async () => new Response('{"enabled": false}'))).toBe(true);
    for (const text of ['{"enabled": true}', '{}', 'null', '<html>', '{"enabled": 0}']) {
      expect(await says(async () => new Response(text))).toBe(false);
    }
    expect(await says(async () => new Response('{"enabled": false}', { status: 404 }))).toBe(false);
    expect(await says(async () => { throw new TypeError('offline'); })).toBe(false);
  });

  test('headers that the host sends stay', () => {
    const answer = isolated(new Response('x', { headers: { 'Cross-Origin-Embedder-Policy': 'credentialless' } }), 'x');
    expect(answer.headers.get('Cross-Origin-Embedder-Policy')).toBe('credentialless');
    expect(answer.headers.get('Cross-Origin-Opener-Policy')).toBe('same-origin');
  });

  test('a page that does not answer leaves its build unknown', async () => {
    const page = (build: string | null) => ({
      id: '1', url: base,
      postMessage: (_: unknown, [port]: MessagePort[] = []) => {
        if (build !== null) port?.postMessage({ build });
      },
    });
    expect(await buildsInUse([page('a'), page('b')] as never, 1000)).toEqual(new Set(['a', 'b']));
    expect(await buildsInUse([page('a'), page(null)] as never, 20)).toBeNull();
    expect(await buildsInUse([], 20)).toEqual(new Set());
  });
});
