// SPDX-License-Identifier: Apache-2.0
// A server of model folders that misbehaves on demand, and of the pages that meet it.
//   const server = await startFaultyServer();
//   server.addModel('m', makeModel({...}));
//   server.fault('shards/00001', cutAfter(1000), { times: 1 });
//   server.requests  every request with its range, status and the body bytes that were written
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, extname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The same seed gives the same bytes. */
export function seededBytes(count, seed) {
  const out = Buffer.alloc(count);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < count; ++i) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

export function shardFile(index) {
  return `shards/${String(index).padStart(5, '0')}.bin`;
}

/** Keys as in native/platform/trust.h. */
export function makeKeys() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return { privateKey, text: `ed25519:${raw.toString('base64')}` };
}

export function signatureOf(manifest, keys) {
  return Buffer.from(`${keys.text} ${sign(null, manifest, keys.privateKey).toString('base64')}\n`);
}

/**
 * A model folder as a Map of file to bytes. Shard i carries layer i - 1; the first the embeddings,
 * the last the final norm.
 */
export function makeModel({ name = 'test', seed = 1, shards = [300_000, 200_001, 250_000], keys } = {}) {
  const files = new Map();
  const entry = (file, bytes) => ({ file, bytes: bytes.length, sha256: sha256(bytes) });
  const tokenizer = Buffer.from(JSON.stringify({ model: name, seed }));
  files.set('tokenizer.json', tokenizer);
  const tensorName = (i) => i === 0 ? 'token_embedding'
    : i === shards.length - 1 ? 'final_norm' : `layers.${i - 1}.qkv`;
  const table = shards.map((size, i) => {
    const bytes = typeof size === 'number' ? seededBytes(size, seed * 1000 + i) : size;
    files.set(shardFile(i), bytes);
    return entry(shardFile(i), bytes);
  });
  const manifest = Buffer.from(`${JSON.stringify({
    format: 'lamina', version: 1, name, config: {}, tokenizer: entry('tokenizer.json', tokenizer),
    chat_template: '', bos_text: '', eos_text: '', files: [], layers: [], shards: table,
    tensors: shards.map((_, i) => ({ name: tensorName(i), parts: [{ shard: i }] })),
    provenance: { source: 'test', converter: 'test', calibration: 'none' },
  }, null, 1)}\n`);
  files.set('manifest.json', manifest);
  if (keys) files.set('manifest.sig', signatureOf(manifest, keys));
  return files;
}

const types = {
  '.html': 'text/html; charset=utf-8', '.ts': 'text/javascript', '.mjs': 'text/javascript',
  '.js': 'text/javascript', '.json': 'application/json', '.wasm': 'application/wasm',
};

// Faults get {request, response, body, range, headers, send}; send(status, headers, bytes) is the
// honest end. Returning false leaves the answer to the next fault or the honest server.
export const html = ({ send }) =>
  send(200, { 'Content-Type': 'text/html' }, Buffer.from('<!doctype html><title>Log in</title>'));
export const htmlAsBinary = ({ send }) =>
  send(200, { 'Content-Type': 'application/octet-stream' },
    Buffer.from('\n<!DOCTYPE html><html><body>captive portal</body></html>'));
export const status = (code, headers = {}) => ({ send }) => send(code, headers, Buffer.from('no'));
export const truncated = (bytes) => ({ send, body, headers }) => send(200, headers,
  body.subarray(0, bytes));
/** Without a length, so that only the end of the body tells. */
export const truncatedChunked = (bytes) => ({ response, body, headers, log }) => {
  const { 'Content-Length': _, ...rest } = headers;
  response.writeHead(200, rest);
  log.status = 200;
  log.sent += Math.min(bytes, body.length);
  response.end(body.subarray(0, bytes));
};
export const replaced = (bytes) => ({ send, headers }) => send(200, headers, bytes);
export const corrupted = (at = 1000) => (given) => {
  const bytes = Buffer.from(given.body);
  bytes[Math.min(at, bytes.length - 1)] ^= 0x40;
  return given.answer({ ...given, body: bytes });
};
export const ignoringRange = ({ send, body, headers }) => send(200, headers, body);
export const refusingRange = (given) => given.range ? given.send(416, {
  'Content-Range': `bytes */${given.body.length}` }, Buffer.alloc(0)) : false;
/** Answers 206 whatever If-Range says. */
export const ignoringIfRange = (given) => {
  delete given.request.headers['if-range'];
  return false;
};
export const withoutEtag = (given) => {
  delete given.headers.ETag;
  return false;
};
/** Breaks the connection after so many body bytes of the answer. */
export const cutAfter = (bytes) => (given) => given.answer(given, { cutAfter: bytes });
/** In small pieces, so many bytes a second. */
export const slowly = (bytesPerSecond) => (given) => given.answer(given, { bytesPerSecond });
/** Says the length, sends so many bytes, then nothing. */
export const stalling = (bytes) => (given) => given.answer(given, { stallAfter: bytes });

/** A model folder from disk as makeModel gives one. */
export function readModel(at) {
  const files = readdirSync(at, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
  return new Map(files.map((f) => {
    const path = join(f.parentPath, f.name);
    return [relative(at, path), readFileSync(path)];
  }));
}

/** `mounts`: folders by the first part of their address, served beside a bare page at /. */
export async function startFaultyServer(
  { cors = false, isolated = true, folder = null, mounts = {} } = {}) {
  const models = new Map();
  const faults = [];
  const requests = [];
  const sockets = new Set();

  const wantedRange = (request, size, etag) => {
    const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const condition = request.headers['if-range'];
    if (!match || (condition && condition !== etag)) return null;
    const first = Number(match[1]);
    return { first, last: match[2] ? Math.min(Number(match[2]), size - 1) : size - 1 };
  };

  const write = async (response, log, bytes, manner = {}) => {
    const { cutAfter = Infinity, stallAfter = Infinity, bytesPerSecond = Infinity } = manner;
    const most = Math.min(cutAfter, stallAfter, bytes.length);
    const step = Number.isFinite(bytesPerSecond) ? Math.ceil(bytesPerSecond / 20) : 1 << 16;
    for (let at = 0; at < most && !response.destroyed; at += step) {
      const piece = bytes.subarray(at, Math.min(at + step, most));
      log.sent += piece.length;
      if (!response.write(piece) && !response.destroyed) {
        const stop = new AbortController();
        const { signal } = stop;
        await Promise.race(['drain', 'close'].map((name) =>
          once(response, name, { signal }).catch(() => {})));
        stop.abort();
      }
      if (Number.isFinite(bytesPerSecond)) await new Promise((done) => setTimeout(done, 50));
    }
    if (Number.isFinite(cutAfter)) {
      // A body that fails drops what its reader has not taken yet.
      await new Promise((done) => setTimeout(done, 200));
      response.socket?.destroy();
    } else if (!Number.isFinite(stallAfter)) {
      response.end();
    }
  };

  const answer = (given, manner) => {
    const { request, response, log } = given;
    const range = wantedRange(request, given.body.length, given.headers.ETag);
    const { body } = given;
    if (range && range.first >= body.length) {
      return given.send(416, { 'Content-Range': `bytes */${body.length}` }, Buffer.alloc(0));
    }
    const bytes = range ? body.subarray(range.first, range.last + 1) : body;
    const headers = { ...given.headers, 'Content-Length': bytes.length };
    if (range) headers['Content-Range'] = `bytes ${range.first}-${range.last}/${body.length}`;
    log.status = range ? 206 : 200;
    response.writeHead(log.status, headers);
    return write(response, log, bytes, manner);
  };

  const serveModel = async (request, response, url, log) => {
    const [, , name, ...rest] = url.pathname.split('/');
    const file = rest.join('/');
    if (folder && name === 'folder') return serveFolder(request, response, file, log);
    const body = models.get(name)?.get(file);
    const send = (code, headers, bytes) => {
      log.status = code;
      log.sent += bytes.length;
      response.writeHead(code, { ...base(), ...headers, 'Content-Length': bytes.length });
      response.end(bytes);
    };
    if (!body) return send(404, {}, Buffer.from('no such file'));
    const headers = {
      ...base(), 'Content-Type': types[extname(file)] ?? 'application/octet-stream',
      'ETag': `"${sha256(body)}"`, 'Accept-Ranges': 'bytes', 'Content-Length': body.length,
    };
    const given = { request, response, body, headers, send, log, answer, file,
      range: wantedRange(request, body.length, headers.ETag) };
    for (const fault of [...faults]) {
      if (!fault.match(file, name) || fault.times <= 0) continue;
      fault.times -= 1;
      fault.used += 1;
      if ((await fault.act(given)) !== false) return undefined;
    }
    return answer(given);
  };

  // A real model folder from disk, streamed.
  const serveFolder = (request, response, file, log) => {
    const path = join(folder, normalize(`/${file}`));
    const { size } = statSync(path, { throwIfNoEntry: false }) ?? { size: -1 };
    if (size < 0) {
      response.writeHead(404, base());
      return response.end();
    }
    log.status = 200;
    log.sent += size;
    response.writeHead(200, { ...base(), 'Content-Length': size });
    return createReadStream(path).pipe(response);
  };

  const base = () => ({
    'Cross-Origin-Resource-Policy': 'cross-origin',
    ...(cors ? { 'Access-Control-Allow-Origin': '*' } : {}),
  });

  // Pages and modules: below web/ and tests/web/, types stripped.
  const serveFile = (response, pathname) => {
    const path = join(root, normalize(pathname));
    const type = types[extname(path)];
    if (!type || !/^\/(web|tests\/web)\//.test(normalize(pathname))) {
      response.writeHead(404);
      return response.end();
    }
    const text = readFileSync(path, 'utf8');
    response.writeHead(200, {
      'Content-Type': type, 'Cache-Control': 'no-store', 'Service-Worker-Allowed': '/',
      ...isolation(),
    });
    return response.end(extname(path) === '.ts' ? stripTypeScriptTypes(text) : text);
  };

  const isolation = () => isolated
    ? { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }
    : {};
  const serveMount = (response, pathname) => {
    const [, first, ...rest] = pathname.split('/');
    const path = join(mounts[first], normalize(`/${rest.join('/')}`));
    const type = types[extname(path)] ?? 'application/octet-stream';
    const bytes = readFileSync(path);
    response.writeHead(200, { 'Content-Type': type, 'Content-Length': bytes.length, ...isolation() });
    return response.end(bytes);
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    if (url.pathname === '/') {
      response.writeHead(200, { 'Content-Type': types['.html'], ...isolation() });
      return response.end('<!doctype html><meta charset="utf-8"><title>engine</title>');
    }
    if (!url.pathname.startsWith('/models/')) {
      try {
        if (mounts[url.pathname.split('/')[1]]) return serveMount(response, url.pathname);
        return serveFile(response, url.pathname);
      } catch {
        response.writeHead(404);
        return response.end();
      }
    }
    const log = { path: url.pathname, query: url.search, method: request.method,
      range: request.headers.range ?? null, ifRange: request.headers['if-range'] ?? null,
      headers: request.headers, status: 0, sent: 0, at: performance.now() };
    requests.push(log);
    return serveModel(request, response, url, log);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    models,
    addModel: (name, files) => models.set(name, files),
    /** `where`: a part of the file's name. The latest fault comes first. */
    fault(where, act, { times = Infinity } = {}) {
      const fault = { match: (file) => file.includes(where), act, times, used: 0 };
      faults.unshift(fault);
      return fault;
    },
    noFaults: () => { faults.length = 0; },
    /** Requests of shards since the log was cleared. */
    shardRequests: () => requests.filter((r) => r.path.includes('/shards/')),
    /** As when the network goes away. */
    dropConnections() {
      for (const socket of sockets) socket.destroy();
    },
    clearLog: () => { requests.length = 0; },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
