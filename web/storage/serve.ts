// SPDX-License-Identifier: Apache-2.0
// Model files out of the store for a service worker: the answers that the daemon would give.

import type { Bytes } from './bytes.ts';
import type { StoreCore } from './core.ts';
import type { FileEntry } from './manifest.ts';
import { fromStoreHeader } from './manifest_fetch.ts';
import type { ModelRecord } from './records.ts';

export interface RespondOptions {
  /**
   * Manifest and signature: `network` (default) asks the server first, so that new versions arrive,
   * `store` answers from the store at once.
   */
  manifest?: 'network' | 'store';
}

/** Null when the store cannot answer: then fetch it. */
export async function respond(
  core: StoreCore, request: Request, options: RespondOptions,
): Promise<Response | null> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return null;
  const url = new URL(request.url);
  const match = /^(.*?\/)((?:shards\/\d{5,}\.bin)|[A-Za-z0-9._-]+)$/.exec(url.pathname);
  if (!match) return null;
  const name = match[2] as string;
  const found = await findModel(core, url, match[1] as string);
  if (!found) return null;
  if (name === 'manifest.json' || name === 'manifest.sig') {
    const fresh = options.manifest === 'store' ? null : await fromServer(core, request);
    return fresh ?? manifestAnswer(core, request, found, name);
  }
  const entry = found.files.find((file) => file.file === name);
  const wanted = url.searchParams.get('sha256');
  if (!entry || (wanted !== null && wanted !== entry.sha256)) return null;
  if (!(await core.records.isWhole(entry))) return null;
  return fileAnswer(core, request, entry, 'private, max-age=31536000, immutable');
}

async function findModel(
  core: StoreCore, url: URL, folder: string,
): Promise<ModelRecord | null> {
  const versions = await core.records.modelsOf(`${url.origin}${folder}manifest.json`);
  for (const record of versions) if (await core.records.isComplete(record)) return record;
  return versions[0] ?? null;
}

async function fromServer(core: StoreCore, request: Request): Promise<Response | null> {
  try {
    const response = await core.options.transport.fetch(request);
    return response.status >= 500 ? null : response;
  } catch {
    return null;
  }
}

async function manifestAnswer(
  core: StoreCore, request: Request, record: ModelRecord, name: string,
): Promise<Response | null> {
  if (name === 'manifest.json') {
    const entry = { file: name, bytes: record.manifestBytes, sha256: record.sha256 };
    return fileAnswer(core, request, entry, 'private, no-cache');
  }
  const headers = { ...common(name), 'Cache-Control': 'private, no-cache' };
  const body = record.signature;
  return new Response(request.method === 'HEAD' ? null : body, {
    status: body === null ? 404 : 200, headers,
  });
}

async function fileAnswer(
  core: StoreCore, request: Request, entry: FileEntry, cacheControl: string,
): Promise<Response | null> {
  const etag = `"${entry.sha256}"`;
  const headers: Record<string, string> = {
    ...common(entry.file), 'ETag': etag, 'Cache-Control': cacheControl, 'Accept-Ranges': 'bytes',
  };
  if (etagListed(request.headers.get('if-none-match'), etag)) {
    return new Response(null, { status: 304, headers });
  }
  const range = wantedRange(request, etag, entry.bytes);
  if (range === 'unsatisfiable') {
    const refusal = { 'Content-Range': `bytes */${entry.bytes}` };
    return new Response(null, { status: 416, headers: refusal });
  }
  const { first, count } = range ?? { first: 0, count: entry.bytes };
  if (range) headers['Content-Range'] = `bytes ${first}-${first + count - 1}/${entry.bytes}`;
  headers['Content-Length'] = String(count);
  const init = { status: range ? 206 : 200, headers };
  if (request.method === 'HEAD') return new Response(null, init);
  const body: Blob | ReadableStream<Bytes> | null =
    await core.backend.slice(entry.sha256, first, count);
  return body && new Response(body, init);
}

function common(file: string): Record<string, string> {
  return {
    'Content-Type': file.endsWith('.json') ? 'application/json'
      : file.endsWith('.sig') ? 'text/plain; charset=utf-8' : 'application/octet-stream',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
    [fromStoreHeader]: '1',
  };
}

function etagListed(list: string | null, etag: string): boolean {
  if (list === null) return false;
  return list.trim() === '*' ||
    list.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}

type Range = { first: number; count: number };

function wantedRange(request: Request, etag: string, size: number): Range | 'unsatisfiable' | null {
  const text = request.headers.get('range');
  const condition = request.headers.get('if-range');
  if (text === null || request.method !== 'GET') return null;
  return condition !== null && condition !== etag ? null : parseRange(text, size);
}

/** One range of RFC 9110; null (the whole file) for what is malformed or asks for several. */
export function parseRange(text: string, size: number): Range | 'unsatisfiable' | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(text.trim());
  if (!match || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const count = Math.min(Number(match[2]), size);
    return count === 0 ? 'unsatisfiable' : { first: size - count, count };
  }
  const first = Number(match[1]);
  const last = match[2] === '' ? Number.POSITIVE_INFINITY : Number(match[2]);
  if (last < first) return null;
  if (first >= size) return 'unsatisfiable';
  return { first, count: Math.min(last, size - 1) - first + 1 };
}
