// SPDX-License-Identifier: Apache-2.0
// A page server with the headers that shared memory wants, and Chromium on it. Serves folders by
// name: mounts {"": folder, "model": folder}.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const TYPES = {
  '.js': 'text/javascript', '.mjs': 'text/javascript', '.html': 'text/html',
  '.wasm': 'application/wasm', '.json': 'application/json',
};
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Serves `mounts` on a free port of this machine; {url, close()}. `isolated`: COOP and COEP. */
export async function serve(mounts, { isolated = true, onRequest = () => {} } = {}) {
  const server = createServer((request, response) => {
    onRequest(request.url);
    const [, mount, ...rest] = decodeURIComponent(new URL(request.url, 'http://x').pathname).split('/');
    const path = mounts[mount] && join(mounts[mount], normalize(`/${rest.join(sep)}`));
    if (isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    if (request.url === '/') return response.setHeader('Content-Type', 'text/html').end('<!doctype html>');
    if (!path || !existsSync(path) || !statSync(path).isFile()) return response.writeHead(404).end();
    response.setHeader('Content-Type', TYPES[extname(path)] ?? 'application/octet-stream');
    response.setHeader('Content-Length', statSync(path).size);
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  });
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

export function launch() {
  const { chromium } = createRequire(join(root, 'web/package.json'))('playwright-core');
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
}

// In a page of `shared`, or of a browser of its own.
async function onPage(url, log, shared, use) {
  const browser = shared ?? await launch();
  try {
    const page = await browser.newPage();
    page.on('console', (message) => log(message.text()));
    await page.goto(url);
    const got = await use(page);
    await page.close();
    return got;
  } finally {
    if (!shared) await browser.close();
  }
}

/** What `run(task)` of the module `script` (a path under `url`) gives in a page at `url`. */
export function inPage(url, script, task, log = () => {}) {
  return onPage(url, log, undefined, (page) => page.evaluate(
    async ([path, message]) => (await import(path)).run(message), [script, task]));
}

/**
 * Runs `script` (a path under `url`, a module) in a dedicated worker of a page at `url`: sends it
 * `task`, gives what it answers by postMessage({done}) or throws {error}; {log} lines go to `log`.
 * `browser`: one of launch() that is there already.
 */
export function inWorker(url, script, task, log = () => {}, browser = undefined) {
  return onPage(url, log, browser, (page) => page.evaluate(([path, message]) => new Promise((resolve, reject) => {
    const worker = new Worker(path, { type: 'module' });
    worker.onerror = (e) => reject(new Error(`${e.message} ${e.filename}:${e.lineno}`));
    worker.onmessage = ({ data }) => {
      if (data.log !== undefined) console.log(data.log);
      else if (data.error !== undefined) reject(new Error(data.error));
      else resolve(data.done);
    };
    worker.postMessage(message);
  }), [script, task]));
}
