// SPDX-License-Identifier: Apache-2.0
// A running module: calls, memory, errors. Addresses are unsigned, though WebAssembly gives them
// signed; views die when the memory grows, so each is made when it is used.

import { LaminaError, isErrorCode } from '../engine/errors.ts';
import { Wasi } from './wasi.ts';

type Call = (...args: number[]) => number;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Native {
  readonly memory: WebAssembly.Memory;
  readonly #exports: Record<string, Call>;
  readonly #wasi: Wasi;
  #dead: string | undefined;

  constructor(instance: WebAssembly.Instance, memory: WebAssembly.Memory, wasi: Wasi) {
    this.memory = memory;
    this.#exports = instance.exports as unknown as Record<string, Call>;
    this.#wasi = wasi;
    wasi.memory = memory;
    this.call('_initialize');
  }

  /** A call's result as it is. Throws `device` once the module has stopped. */
  call(name: string, ...args: number[]): number {
    if (this.#dead !== undefined) throw new LaminaError('closed', this.#dead);
    try {
      return this.#exports[name]!(...args);
    } catch (thrown) {
      throw this.#died(thrown);
    }
  }

  /** A call that gives an address. */
  address(name: string, ...args: number[]): number {
    return this.call(name, ...args) >>> 0;
  }

  /** A call whose result 0 or less than 0 means an error. */
  must(name: string, ...args: number[]): number {
    const result = this.call(name, ...args);
    if (result === 0) throw this.error();
    return result >>> 0;
  }

  /** A call whose result -1 means an error. */
  count(name: string, ...args: number[]): number {
    const result = this.call(name, ...args);
    if (result < 0) throw this.error();
    return result;
  }

  /** The module is of no use any more: later calls throw `closed`. */
  close(why: string): void {
    this.#dead ??= why;
  }
  get closed(): boolean {
    return this.#dead !== undefined;
  }

  /** The last error of a call. */
  error(): LaminaError {
    const code = this.word('lamina_error_code');
    const message = this.word('lamina_error_message');
    return new LaminaError(isErrorCode(code) ? code : 'device', message);
  }

  /** A call that gives a zero-terminated word. */
  word(name: string): string {
    return this.#zeroTerminated(this.address(name));
  }

  /** Whether other threads can reach the memory. */
  get shared(): boolean {
    return !(this.memory.buffer instanceof ArrayBuffer);
  }

  bytes(at: number, size: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, size);
  }
  int32(at: number, size: number): Int32Array {
    return new Int32Array(this.memory.buffer, at, size);
  }

  /** The result buffers, copied. */
  text(): string {
    return this.decode(this.address('lamina_text'), this.call('lamina_text_bytes'));
  }
  json<T>(): T {
    return JSON.parse(this.text()) as T;
  }
  ints(): Int32Array {
    return this.int32(this.address('lamina_ints'), this.address('lamina_ints_size')).slice();
  }
  floats(): Float32Array {
    const at = this.address('lamina_floats');
    return new Float32Array(this.memory.buffer, at, this.address('lamina_floats_size')).slice();
  }
  halves(): Uint16Array {
    const at = this.address('lamina_halves');
    return new Uint16Array(this.memory.buffer, at, this.address('lamina_halves_size')).slice();
  }

  /** UTF-8 in memory, copied: no decoder reads shared memory. */
  decode(at: number, size: number): string {
    return decoder.decode(this.bytes(at, size).slice());
  }

  /** Calls `use` with the address and size of a copy in the module's memory. */
  lend<T>(data: Uint8Array | string, use: (at: number, bytes: number) => T): T {
    const bytes = typeof data === 'string' ? encoder.encode(data) : data;
    const at = this.alloc(bytes.length);
    this.bytes(at, bytes.length).set(bytes);
    try {
      return use(at, bytes.length);
    } finally {
      if (!this.closed) this.call('lamina_free', at);
    }
  }
  /** The same of numbers; the size is their count. */
  lendNumbers<T>(
    data: Int32Array | Float32Array | Uint16Array,
    use: (at: number, n: number) => T,
  ): T {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return this.lend(bytes, (at) => use(at, data.length));
  }

  /** Memory that the caller gives back by lamina_free. */
  alloc(bytes: number): number {
    const at = this.address('lamina_alloc', bytes);
    if (at === 0) {
      throw new LaminaError('out_of_memory', `${bytes} bytes do not fit into the module's memory`);
    }
    return at;
  }

  #zeroTerminated(at: number): string {
    const all = new Uint8Array(this.memory.buffer);
    return this.decode(at, all.indexOf(0, at) - at);
  }

  #died(thrown: unknown): LaminaError {
    const words = this.#wasi.lastWords.trim() || String(thrown);
    this.#dead = `the WebAssembly module has stopped: ${words}`;
    return new LaminaError('device', this.#dead, { recoverable: false, cause: thrown });
  }
}
