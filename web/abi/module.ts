// SPDX-License-Identifier: Apache-2.0
// The WebAssembly module: which of its four variants runs here, and how it is started. Works in
// dedicated workers and in Node; on a page's own thread the variants of one thread alone.

import { LaminaError } from '../engine/errors.ts';
import { detectFeatures, inNode, usableThreads } from './features.ts';
import { Model } from './model.ts';
import { Native } from './native.ts';
import { Threads } from './threads.ts';
import { Wasi } from './wasi.ts';

export { detectFeatures } from './features.ts';
export type { Features } from './features.ts';
export { Engine } from './engine.ts';
export type { CpuEngine, RemoteEngine } from './engine.ts';
export { Model } from './model.ts';
export { Session } from './session.ts';
export type * from './types.ts';

const PAGE = 65536;
const FIRST_PAGES = 512; // 32 MiB, as the modules are linked
const MOST_PAGES = 65536;
const LEAST_MOST_PAGES = 8192; // 512 MiB

export interface Variant {
  relaxed: boolean;
  shared: boolean;
}

/** "lamina-relaxed-shared.wasm" */
export function variantFile(v: Variant): string {
  return `lamina-${v.relaxed ? 'relaxed' : 'simd128'}-${v.shared ? 'shared' : 'single'}.wasm`;
}

export type ModuleBytes = Uint8Array<ArrayBuffer> | ArrayBuffer | WebAssembly.Module;
/** The folder with the four files; or what gives one by its name; or one module's bytes. */
export type ModuleSource =
  string | URL | ((file: string) => Promise<ModuleBytes> | ModuleBytes) | ModuleBytes;

export interface LoadOptions {
  /** Threads, this one included; default: all processors. 1 loads a variant without shared memory. */
  threads?: number;
  /** Variants to use at most; default: what this engine can. */
  relaxed?: boolean;
  shared?: boolean;
  /** thread.js, where it does not lie beside this file. */
  threadUrl?: URL;
}

export class LaminaModule {
  readonly native: Native;
  readonly variant: Variant;
  /** The kernels, by their own name: "wasm_relaxed_u8" (x86), "wasm_relaxed_s8" (ARM), "wasm_relaxed", "wasm128". */
  readonly isa: string;
  /** Threads that an engine can have. */
  readonly threads: number;
  /** Why this variant and not a better one: sentences for people. */
  readonly notes: readonly string[];
  readonly #workers: Threads;

  /** @internal Made by load(). */
  constructor(native: Native, variant: Variant, threads: number, notes: readonly string[],
    workers: Threads) {
    this.native = native;
    this.variant = variant;
    this.isa = native.word('lamina_isa');
    this.threads = threads;
    this.notes = notes;
    this.#workers = workers;
  }

  /**
   * Starts the best variant that passes its self-test: relaxed SIMD gives way to SIMD128, shared
   * memory to one thread; `notes` tells why. Throws `unsupported`, `not_found`, `io`, `device`.
   */
  static async load(source: ModuleSource, options: LoadOptions = {}): Promise<LaminaModule> {
    const features = detectFeatures();
    if (!features.simd128) {
      throw new LaminaError('unsupported', 'this browser has no WebAssembly SIMD; update it');
    }
    const threads = options.threads ?? usableThreads();
    const notes: string[] = [];
    const variant = {
      relaxed: features.relaxed && options.relaxed !== false,
      shared: features.shared && options.shared !== false && threads > 1,
    };
    if (!features.relaxed) notes.push('SIMD128: this engine has no relaxed SIMD');
    if (!features.shared && threads > 1) notes.push(`one thread: ${features.whyNotShared}`);
    for (;;) {
      try {
        return await start(source, variant, threads, notes, options.threadUrl);
      } catch (thrown) {
        const error = LaminaError.from(thrown, 'device');
        if (error.code !== 'device' && error.code !== 'out_of_memory') throw error;
        if (isBytes(source) || !(variant.relaxed || variant.shared)) throw error;
        const selfTest = thrown instanceof SelfTestError;
        if (variant.relaxed && (selfTest || !variant.shared)) variant.relaxed = false;
        else variant.shared = false;
        notes.push(`${variantFile(variant)} in place of a better one: ${error.message}`);
      }
    }
  }

  /** Bytes of the module's memory; never shrinks. */
  get memoryBytes(): number {
    return this.native.memory.buffer.byteLength;
  }

  /**
   * Checks the manifest as the native engine does, and reads the tokenizer; both bytes are verified
   * by whoever brings them. Throws `invalid_model`, `unsupported`, `integrity`. The tokenizer's
   * configuration is in the manifest already.
   */
  openModel(manifest: Uint8Array | string, tokenizerJson: Uint8Array | string): Model {
    const address = this.native.lend(manifest, (m, mBytes) =>
      this.native.lend(tokenizerJson, (t, tBytes) =>
        this.native.must('lamina_model_open', m, mBytes, t, tBytes)));
    return new Model(this.native, address);
  }

  /** Ends its threads; nothing of it may be used any more. */
  dispose(): void {
    this.#workers.stop();
    this.native.close('the module is disposed');
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

class SelfTestError extends LaminaError {}

function isBytes(source: ModuleSource): source is ModuleBytes {
  return typeof source === 'object' && !(source instanceof URL);
}

async function start(source: ModuleSource, wanted: Variant, threads: number, notes: string[],
  threadUrl: URL | undefined): Promise<LaminaModule> {
  const module = await compile(source, variantFile(wanted));
  const shared = WebAssembly.Module.imports(module).some((i) => i.kind === 'memory');
  const wasi = new Wasi();
  const memory = shared ? sharedMemory() : undefined;
  const imports: WebAssembly.Imports = { wasi_snapshot_preview1: wasi.imports };
  if (memory) imports['env'] = { memory };
  const instance = await WebAssembly.instantiate(module, imports);
  const native = new Native(instance, memory ?? (instance.exports['memory'] as WebAssembly.Memory), wasi);
  if (native.call('lamina_self_test') !== 1) {
    throw new SelfTestError('device', native.error().message);
  }
  const workers = new Threads();
  try {
    if (shared && threads > 1) await workers.start(native, module, threads - 1, threadUrl);
  } catch (error) {
    workers.stop();
    throw error;
  }
  const variant = { relaxed: wanted.relaxed, shared };
  return new LaminaModule(native, variant, shared ? threads : 1, notes, workers);
}

// Address space for all that the memory may grow to is reserved at once: where that is too much,
// less.
function sharedMemory(): WebAssembly.Memory {
  for (let maximum = MOST_PAGES; ; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared: true });
    } catch (error) {
      if (maximum > LEAST_MOST_PAGES) continue;
      throw new LaminaError('out_of_memory',
        `no shared memory of ${(maximum * PAGE) / 2 ** 20} MiB: ${String(error)}`);
    }
  }
}

async function compile(source: ModuleSource, file: string): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (typeof source === 'function') return compile(await source(file), file);
  if (isBytes(source)) return WebAssembly.compile(source as Exclude<ModuleBytes, WebAssembly.Module>);
  const url = folderUrl(source, file);
  if (url.protocol === 'file:') return WebAssembly.compile(await readFile(url));
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new LaminaError('io', `${url}: ${String(error)}`, { cause: error });
  }
  if (!response.ok) throw new LaminaError('not_found', `${url}: HTTP ${response.status}`);
  // Compiled while it comes, and kept by the browser, if it is called what it is.
  const typed = response.headers.get('content-type')?.startsWith('application/wasm');
  return typed ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

function folderUrl(folder: string | URL, file: string): URL {
  const base = String(folder);
  return new URL(file, new URL(base.endsWith('/') ? base : `${base}/`, import.meta.url));
}

async function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (!inNode()) throw new LaminaError('unsupported', `${url}: files are for Node`);
  try {
    const bytes = await process.getBuiltinModule('node:fs/promises').readFile(url);
    return new Uint8Array(bytes);
  } catch (error) {
    throw new LaminaError('not_found', `${url}: ${String(error)}`, { cause: error });
  }
}
