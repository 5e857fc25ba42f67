// SPDX-License-Identifier: Apache-2.0
// What an HTTP answer says about the bytes in it.

import { StorageError, quote } from './errors.ts';

/** How requests are made and how long they may take. */
export interface Transport {
  fetch: typeof fetch;
  /** Sent with every request, a bearer token for example. */
  headers: Readonly<Record<string, string>>;
  credentials: RequestCredentials;
  /** Failures in a row, without progress between them, before giving up. */
  retries: number;
  /** Before the first repetition; doubled each time, at most 10 s. */
  backoffMs: number;
  /** Without a byte for so long, a request is made anew. */
  stallMs: number;
  /** How long to wait for a lost network before failing with `offline`. */
  waitOnlineMs: number;
}

export const transportDefaults: Transport = {
  fetch: (input, init) => globalThis.fetch(input, init),
  headers: {},
  credentials: 'same-origin',
  retries: 5,
  backoffMs: 250,
  stallMs: 30_000,
  waitOnlineMs: 30_000,
};

export interface ContentRange {
  first: number;
  last: number;
  /** -1 for `*`. */
  total: number;
}

/** Null for anything but `bytes FIRST-LAST/TOTAL`. */
export function parseContentRange(text: string | null): ContentRange | null {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(text ?? '');
  if (!match) return null;
  const [first, last] = [Number(match[1]), Number(match[2])];
  const total = match[3] === '*' ? -1 : Number(match[3]);
  return last < first || (total >= 0 && last >= total) ? null : { first, last, total };
}

/** Of a body that is not encoded; -1 when unknown. */
export function contentLength(headers: Headers): number {
  const text = headers.get('content-length') ?? '';
  const encoding = headers.get('content-encoding') ?? 'identity';
  return encoding === 'identity' && /^\d{1,15}$/.test(text) ? Number(text) : -1;
}

/** Weak ETags say nothing about bytes. */
export function strongEtag(headers: Headers): string | null {
  const etag = headers.get('etag');
  return etag !== null && /^"[^"]*"$/.test(etag) ? etag : null;
}

export function isHtmlType(headers: Headers): boolean {
  return /^(text\/html|application\/xhtml\+xml)/i.test(headers.get('content-type') ?? '');
}

/** Whether these first bytes of a body are a web page's. */
export function looksLikeHtml(bytes: Uint8Array): boolean {
  const start = new TextDecoder().decode(bytes.subarray(0, 64)).trimStart().toLowerCase();
  return start.startsWith('<!doctype html') || start.startsWith('<html');
}

export function htmlError(file: string, url: string): StorageError {
  return new StorageError('html_instead_of_shard', file,
    `${quote(url)} gave a web page instead of the file: a login or error page, or a wrong ` +
    'address; open the address in a tab to see it');
}

export function statusError(file: string, url: string, status: number): StorageError {
  const help = status === 401 || status === 403 ? 'access is refused: a token or login is missing'
    : status === 404 || status === 410 ? 'the file is not there: check the address of the model'
      : 'the server fails; try again later';
  return new StorageError('http_status', file, `${quote(url)} answered ${status}; ${help}`,
    { status });
}

/** Statuses that may pass by themselves. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** Milliseconds of Retry-After in seconds, at most a minute; 0 without. */
export function retryAfter(headers: Headers): number {
  const text = headers.get('retry-after') ?? '';
  return /^\d{1,6}$/.test(text) ? Math.min(60, Number(text)) * 1000 : 0;
}
