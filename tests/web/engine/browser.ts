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
export async function openPage(browser: Browser, server: StaticServer): Promise<Page> {
  const context: BrowserContext = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => console.log('page error:', error.message));
  page.on('console', (m) => m.type() === 'error' && !/404/.test(m.text()) && console.log('console:', m.text()));
  await page.goto(server.url);
  await page.evaluate(async () => {
    const from = '/pkg/dist/index.js';
    const lamina = await import(from);
    const helpers = {
      lamina,
      notices: [] as unknown[],
      open: async (options: object) => lamina.createEngine({
        model: '/models/storyteller/',
        onNotice: (n: { text: string; cause?: { code: string } }) =>
          helpers.notices.push({ text: n.text, code: n.cause?.code }),
        ...options,
      }),
    };
    Object.assign(globalThis, helpers);
  });
  return page;
}

/** What openPage puts on the page; for the functions that run there. */
declare global {
  var lamina: typeof Lamina;
  var notices: { text: string; code?: string }[];
  var engine: Lamina.Engine;
  function open(options: object): Promise<Lamina.Engine>;
}
