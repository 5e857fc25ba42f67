// SPDX-License-Identifier: Apache-2.0
// A plain static host for the built page: no headers of its own, unless it is told to send them.

import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};

export interface Asked {
  method: string;
  path: string;
  range: string | undefined;
}

export class StaticServer {
  /** Sends COOP and COEP. */
  isolated = false;
  /** Lets pages of other servers read what it has. */
  shared = false;
  /** Answers instead of the files of these paths, "/sw.js". */
  readonly instead = new Map<string, string | Uint8Array>();
  /** Bytes a second of one answer below /models/; 0: as fast as it goes. */
  modelRate = 0;
  readonly asked: Asked[] = [];
  private readonly folder: string;
  private readonly server: http.Server;
  private port = 0;

  private constructor(folder: string) {
    this.folder = folder;
    this.server = http.createServer((request, response) => {
      this.answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(folder: string): Promise<StaticServer> {
    const server = new StaticServer(folder);
    await server.up();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** Connections are refused until up(). */
  async down(): Promise<void> {
    const closed = new Promise((done) => this.server.close(done));
    this.server.closeAllConnections();
    await closed;
  }

  /** At the same port as before. */
  async up(): Promise<void> {
    await new Promise<void>((done) => this.server.listen(this.port, '127.0.0.1', done));
    this.port = (this.server.address() as AddressInfo).port;
  }

  count(pathEnd: string): number {
    return this.asked.filter((one) => one.path.endsWith(pathEnd)).length;
  }

  private read(pathname: string): Uint8Array | null {
    const given = this.instead.get(pathname);
    if (given !== undefined) return typeof given === 'string' ? Buffer.from(given) : given;
    const file = path.join(this.folder, path.normalize(pathname));
    return fs.existsSync(file) && fs.statSync(file).isFile() ? fs.readFileSync(file) : null;
  }

  private async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://x');
    const { method = 'GET', headers: { range } } = request;
    this.asked.push({ method, path: pathname, range });
    const name = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    const bytes = this.read(name);
    if (this.isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    if (this.shared) {
      response.setHeader('Access-Control-Allow-Origin', '*');
      response.setHeader('Access-Control-Allow-Headers', '*');
      response.setHeader('Access-Control-Expose-Headers', 'Content-Range');
      if (method === 'OPTIONS') return void response.writeHead(204).end();
    }
    if (!bytes) return void response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not here\n');
    response.setHeader('Content-Type', TYPES[path.extname(name)] ?? 'application/octet-stream');
    const first = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? -1);
    if (first >= 0) response.setHeader('Content-Range', `bytes ${first}-${bytes.length - 1}/${bytes.length}`);
    const body = first >= 0 ? bytes.subarray(first) : bytes;
    response.writeHead(first >= 0 ? 206 : 200, { 'Content-Length': body.length });
    if (method === 'HEAD') return void response.end();
    const slow = this.modelRate > 0 && pathname.startsWith('/models/') && pathname.endsWith('.bin');
    return slow ? this.trickle(response, body) : void response.end(body);
  }

  private async trickle(response: http.ServerResponse, body: Uint8Array): Promise<void> {
    for (let at = 0; at < body.length && !response.destroyed;) {
      const step = this.modelRate > 0 ? Math.max(1, Math.floor(this.modelRate / 20)) : body.length; // it may change meanwhile
      response.write(body.subarray(at, at += step));
      await new Promise((done) => setTimeout(done, 50));
    }
    response.end();
  }
}
