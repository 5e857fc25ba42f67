// SPDX-License-Identifier: Apache-2.0
// KV pages to and from the canonical layout of core/engine/backend.h: f16 [layer][k|v][kv head][position]
// [head_dim].
import { LaminaError } from './error.ts';
import { readBack } from './device.ts';
import type { GraphTable } from './graph_table.ts';
import { floatFromHalf, halfFromFloat } from './half.ts';
import { kPage, type ProgramBuffers } from './buffers.ts';

export class KvCopy {
  readonly #device: GPUDevice;
  readonly #graph: GraphTable;
  readonly #buffers: ProgramBuffers;
  readonly #kvDim: number;
  readonly #pageElements: number;

  constructor(device: GPUDevice, graph: GraphTable, buffers: ProgramBuffers) {
    this.#device = device;
    this.#graph = graph;
    this.#buffers = buffers;
    this.#kvDim = Math.ceil(graph.config.headDim / 8) * 8;
    this.#pageElements = graph.config.kvHeads * kPage * this.#kvDim;
  }

  /** Throws `invalid_argument` where the pages don't exist or hold fewer positions. */
  async export(pages: Int32Array, n: number): Promise<Uint16Array> {
    this.#check(pages, n);
    const { layers } = this.#graph.config;
    const used = Math.ceil(n / kPage);
    const out = new Uint16Array(this.#values(n) * layers);
    const width = this.#buffers.kvWords ? 4 : 2;
    const bytes = this.#pageElements * width;
    if (n === 0) return out;
    for (let layer = 0; layer < layers; ++layer) {
      const encoder = this.#device.createCommandEncoder();
      const gathered = this.#device.createBuffer({ size: 2 * used * bytes, usage: 0x4 | 0x8 });
      for (let half = 0; half < 2; ++half) {
        for (let p = 0; p < used; ++p) {
          encoder.copyBufferToBuffer(this.#buffers.keys[layer]!, this.#pageByte(pages[p]!, half),
            gathered, (half * used + p) * bytes, bytes);
        }
      }
      const copy = await readBack(this.#device, encoder, gathered, 2 * used * bytes);
      gathered.destroy();
      const held = this.#buffers.kvWords ? Uint16Array.from(new Float32Array(copy), halfFromFloat) : new Uint16Array(copy);
      this.#eachRun(n, (half, page, head, rows, at) => {
        for (let i = 0; i < rows; ++i) {
          const from = (half * used + page) * this.#pageElements + (head * kPage + i) * this.#kvDim;
          const { headDim } = this.#graph.config;
          out.set(held.subarray(from, from + headDim), layer * this.#values(n) + at + i * headDim);
        }
      });
    }
    return out;
  }

  /** Throws as export() does, and where `kv` has another length. */
  import(pages: Int32Array, n: number, kv: Uint16Array): void {
    this.#check(pages, n);
    const { layers, headDim } = this.#graph.config;
    if (kv.length !== layers * this.#values(n)) {
      throw new LaminaError('invalid_argument', `KV of ${n} positions has ${layers * this.#values(n)} values, not ${kv.length}`);
    }
    for (let layer = 0; layer < layers; ++layer) {
      this.#eachRun(n, (half, page, head, rows, at) => {
        const run = new Uint16Array(kPage * this.#kvDim);
        for (let i = 0; i < rows; ++i) {
          const from = layer * this.#values(n) + at + i * headDim;
          run.set(kv.subarray(from, from + headDim), i * this.#kvDim);
        }
        const data = this.#buffers.kvWords ? Float32Array.from(run, floatFromHalf) : run;
        const elements = rows * this.#kvDim;
        const width = data.BYTES_PER_ELEMENT;
        this.#device.queue.writeBuffer(this.#buffers.keys[layer]!,
          this.#pageByte(pages[page]!, half) + head * kPage * this.#kvDim * width, data, 0, elements);
      });
    }
  }

  // Values of one layer.
  #values(n: number): number {
    return 2 * this.#graph.config.kvHeads * n * this.#graph.config.headDim;
  }

  #pageByte(page: number, half: number): number {
    return (page * this.#pageElements + half * this.#buffers.valuesAt) * (this.#buffers.kvWords ? 4 : 2);
  }

  // Runs of positions that lie together: `at` is where the first one's values stand in a canonical layer.
  #eachRun(n: number, run: (half: number, page: number, head: number, rows: number, at: number) => void): void {
    const { kvHeads, headDim } = this.#graph.config;
    for (let half = 0; half < 2; ++half) {
      for (let head = 0; head < kvHeads; ++head) {
        for (let page = 0; page * kPage < n; ++page) {
          run(half, page, head, Math.min(kPage, n - page * kPage), ((half * kvHeads + head) * n + page * kPage) * headDim);
        }
      }
    }
  }

  #check(pages: Int32Array, n: number): void {
    const total = this.#buffers.valuesAt / this.#pageElements;
    if (n < 0 || n > pages.length * kPage || pages.some((p) => p < 0 || p >= total)) {
      throw new LaminaError('invalid_argument', `${pages.length} pages for ${n} KV positions, page numbers below ${total}`);
    }
  }
}
