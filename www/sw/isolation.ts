// SPDX-License-Identifier: Apache-2.0
// Shared memory, and with it threads, needs a cross-origin isolated page. Hosts that can't send the
// headers for that get them added here.

const ISOLATION: Readonly<Record<string, string>> = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

// They told of the bytes on the wire, not of those that the cache holds.
const OF_THE_TRANSFER = ['content-encoding', 'content-length', 'transfer-encoding', 'set-cookie'];

/** The same answer with the headers; `more` are set too. */
export function isolated(
  answer: Response, body: BodyInit | null, more: Readonly<Record<string, string>> = {},
): Response {
  const headers = new Headers(answer.headers);
  for (const name of OF_THE_TRANSFER) headers.delete(name);
  for (const [name, value] of Object.entries(ISOLATION)) {
    if (!headers.has(name)) headers.set(name, value);
  }
  for (const [name, value] of Object.entries(more)) headers.set(name, value);
  return new Response(body, { status: answer.status, statusText: answer.statusText, headers });
}
