// SPDX-License-Identifier: Apache-2.0
// manifest.json and manifest.sig from a server.

import { sha256, type Bytes } from './bytes.ts';
import { StorageError, aborted, textOf } from './errors.ts';
import { isOffline, pause } from './gate.ts';
import {
  contentLength, isHtmlType, isPassing, looksLikeHtml, statusError, type Transport,
} from './http.ts';
import { maxManifestBytes } from './manifest.ts';
import { maxSignatureBytes } from './trust.ts';

export interface FetchedManifest {
  bytes: Bytes;
  sha256: string;
  signature: string | null;
  /** Whether a service worker gave it from the store. */
  fromStore: boolean;
}

/** The header by which our service worker says that it answered from the store. */
export const fromStoreHeader = 'x-lamina-store';

const triesBeforeGivingUp = 3;

/** @throws StorageError network, offline, http_status, html_instead_of_shard, size_mismatch */
export async function fetchManifest(
  url: string, transport: Transport, signal: AbortSignal | undefined, cache: RequestCache,
): Promise<FetchedManifest> {
  const answer = await getPatiently(url, 'manifest.json', maxManifestBytes, transport, signal,
    cache);
  if (answer.status !== 200) throw statusError('manifest.json', url, answer.status);
  if (answer.html) {
    throw new StorageError('html_instead_of_shard', 'manifest.json',
      `'${url}' gave a web page instead of a manifest: a login or error page, or a wrong address`);
  }
  const signed = await getPatiently(new URL('manifest.sig', url).href, 'manifest.sig',
    maxSignatureBytes, transport, signal, cache);
  return {
    bytes: answer.bytes,
    sha256: await sha256(answer.bytes, 'manifest.json'),
    signature: signatureText(signed, url),
    fromStore: answer.fromStore,
  };
}

interface Answer {
  status: number;
  bytes: Bytes;
  html: boolean;
  fromStore: boolean;
}

// Many servers answer a missing file with a page: that is no signature.
function signatureText(answer: Answer, url: string): string | null {
  if (answer.status === 404 || answer.status === 410 || answer.html) return null;
  if (answer.status !== 200) throw statusError('manifest.sig', url, answer.status);
  return new TextDecoder().decode(answer.bytes);
}

async function getPatiently(
  url: string, file: string, most: number, transport: Transport, signal: AbortSignal | undefined,
  cache: RequestCache,
): Promise<Answer> {
  for (let tries = 1; ; ++tries) {
    try {
      const answer = await get(url, file, most, transport, signal, cache);
      if (!isPassing(answer.status) || tries === triesBeforeGivingUp) return answer;
    } catch (error) {
      if (signal?.aborted) throw aborted(file);
      if (error instanceof StorageError) throw error;
      if (isOffline()) {
        throw new StorageError('offline', file, 'there is no network, and the model is not stored',
          { cause: error });
      }
      if (tries === triesBeforeGivingUp) {
        throw new StorageError('network', file,
          `'${url}' can't be reached (${textOf(error)}); check the address and the network`,
          { cause: error });
      }
    }
    await pause(transport.backoffMs * 2 ** (tries - 1), signal, file);
  }
}

async function get(
  url: string, file: string, most: number, transport: Transport, signal: AbortSignal | undefined,
  cache: RequestCache,
): Promise<Answer> {
  const { headers, credentials } = transport;
  const late = AbortSignal.timeout(transport.stallMs);
  const response = await transport.fetch(url, {
    headers, credentials, cache, signal: signal ? AbortSignal.any([signal, late]) : late,
  });
  const bytes = await readBody(response, file, most);
  return {
    status: response.status,
    bytes,
    html: isHtmlType(response.headers) || looksLikeHtml(bytes),
    fromStore: response.headers.has(fromStoreHeader),
  };
}

async function readBody(response: Response, file: string, most: number): Promise<Bytes> {
  const tooLarge = (): StorageError => new StorageError('size_mismatch', file,
    `is larger than ${most} bytes; this is not the address of a model`);
  if (contentLength(response.headers) > most) {
    await response.body?.cancel();
    throw tooLarge();
  }
  const chunks: Bytes[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
    if (done || !value) break;
    length += value.length;
    if (length > most) {
      await reader?.cancel();
      throw tooLarge();
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
