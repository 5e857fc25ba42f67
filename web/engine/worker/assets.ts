// SPDX-License-Identifier: Apache-2.0
// The files beside the worker. The addresses are literal so that bundlers find them.

import { LaminaError } from '../errors.ts';

let base: URL | undefined;

/** Another folder that has them: absolute, with a slash at its end. */
export function setAssets(folder: string | undefined): void {
  base = folder === undefined ? undefined : new URL(folder);
}

const FILES: Record<string, URL> = {
  'lamina-simd128-single.wasm': new URL('./lamina-simd128-single.wasm', import.meta.url),
  'lamina-simd128-shared.wasm': new URL('./lamina-simd128-shared.wasm', import.meta.url),
  'lamina-relaxed-single.wasm': new URL('./lamina-relaxed-single.wasm', import.meta.url),
  'lamina-relaxed-shared.wasm': new URL('./lamina-relaxed-shared.wasm', import.meta.url),
};

/** One of the four modules. Errors: `io`, `not_found`. */
export async function moduleFile(file: string): Promise<WebAssembly.Module> {
  const url = base ? new URL(file, base) : FILES[file];
  if (!url) throw new LaminaError('not_found', `no module ${file}`);
  let response: Response;
  try {
    response = await fetch(url);
  } catch (thrown) {
    throw new LaminaError('io', `${url}: ${String(thrown)}`, { cause: thrown });
  }
  if (!response.ok) throw new LaminaError('not_found', `${url}: HTTP ${response.status}`);
  const typed = response.headers.get('content-type')?.startsWith('application/wasm');
  return typed ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

/** Where thread.js lies when not beside the worker. */
export function threadFile(): URL | undefined {
  return base ? new URL('thread.js', base) : undefined;
}
