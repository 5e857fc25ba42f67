// SPDX-License-Identifier: Apache-2.0
// The built package in Chromium, served by a plain static server.
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type * as Lamina from '../../../web/engine/index.ts';
import { SOURCE } from './support.ts';

const { chromium } = createRequire(`${SOURCE}/web/package.json`)('playwright-core') as
  typeof import('playwright-core');

const TYPES: Record<string, string> = {
  '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json',
};
const PAGE = '<!doctype html><meta charset="utf-8"><title>engine</title>';

/** Folders by their first path segment. */
export class StaticServer {
  private readonly server: http.Server;
  private readonly folders: Record<string, string>;
  isolated = true;
  /** Paths asked for. */
  readonly asked: string[] = [];

  private constructor(folders: Record<string, string>) {
    this.folders = folders;
    this.server = http.createServer((request, response) => this.answer(request, response));
  }

  static async start(folders: Record<string, string>): Promise<StaticServer> {
    const server = new StaticServer(folders);
    await new Promise<void>((done) => server.server.listen(0, '127.0.0.1', done));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    this.asked.push(pathname);
    if (this.isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    const [, first = '', ...rest] = pathname.split('/');
    const folder = this.folders[first];
    const file = folder && path.join(folder, ...rest);
    if (pathname === '/') return void response.setHeader('Content-Type', 'text/html').end(PAGE);
    if (!file || !fs.existsSync(file)) return void response.writeHead(404).end();
    const type = TYPES[path.extname(file)] ?? 'application/octet-stream';
    response.setHeader('Content-Type', type);
    fs.createReadStream(file).pipe(response);
  }
}

const FLAGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

export function launch(webgpu: boolean): Promise<Browser> {
  const gpu = webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : [];
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  // Its software GPU is a Vulkan driver too, which the daemon's tests hide.
  const { VK_DRIVER_FILES: _, VK_ICD_FILENAMES: __, ...env } = process.env as Record<string, string>;
  return chromium.launch({ executablePath, args: [...FLAGS, ...gpu], env });
}

/** A page of a context of its own, so with an empty store, that has the package as `lamina`. */
export async function openPage(browser: Browser, server: { url: string }): Promise<Page> {
  return openTab(await browser.newContext(), server);
}

/** The same in a context that may have other pages, and a store. */
export async function openTab(context: BrowserContext, server: { url: string }): Promise<Page> {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.log('page error:', error.message));
  page.on('console', (m) => m.type() === 'error' && !QUIET.test(m.text()) && console.log('console:', m.text()));
  await page.goto(server.url);
  await equip(page);
  return page;
}

// What a browser says of failed requests, which tests make on purpose.
const QUIET = /Failed to load resource|net::ERR|404/;

/** After a reload. */
export async function equip(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const from = '/pkg/dist/index.js';
    const lamina = await import(from);
    const helpers = {
      lamina,
      notices: [] as unknown[],
      open: async (options: object) => lamina.createEngine({
        model: '/models/storyteller/',
        onNotice: ({ kind, text, file, cause }: Lamina.Notice) =>
          helpers.notices.push({ kind, text, file, code: cause?.code }),
        ...options,
      }),
    };
    Object.assign(globalThis, helpers);
  });
}

export interface LongRequest {
  prompt: string;
  temperature: number;
  ignore_eos: boolean;
  max_tokens: number;
}

/**
 * Answers `long` on a fresh engine of `options`, with `act` done on the page after the chunks `at`:
 * code in which `n` is 0, 1, … and `engine` the engine.
 */
export function disturbed(page: Page, options: object, long: LongRequest, act: string, at: number[]) {
  return page.evaluate(async ([o, request, what, when]) => {
    const engine = globalThis.engine = await open(o);
    let text = '';
    let chunks = 0;
    let usage;
    const stream = await engine.completions.create({
      ...request, stream: true, stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
      usage = chunk.usage ?? usage;
      if (!when.includes(++chunks)) continue;
      await new Function('n', `return (async () => {${what}})()`)(when.indexOf(chunks));
    }
    return { text, usage, info: await engine.refreshInfo(), notices, chunks };
  }, [options, long, act, at] as const);
}

/** Whole blobs in the page's store that are not what their names say. */
export function poisoned(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const store = await root.getDirectoryHandle('lamina-store-1', { create: true });
    const whole = await store.getDirectoryHandle('whole', { create: true });
    const wrong: string[] = [];
    for await (const [name, handle] of (whole as unknown as Map<string, FileSystemFileHandle>).entries()) {
      const bytes = await (await handle.getFile()).arrayBuffer();
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      const hash = Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('');
      if (hash !== name) wrong.push(name);
    }
    return wrong;
  });
}

/** What openPage puts on the page; for the functions that run there. */
declare global {
  var lamina: typeof Lamina;
  var notices: { kind: Lamina.NoticeKind; text: string; file?: string; code?: string }[];
  var engine: Lamina.Engine;
  function open(options: object): Promise<Lamina.Engine>;
}
