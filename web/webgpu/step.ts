// SPDX-License-Identifier: Apache-2.0
// One step of work as the device reads it.
import { LaminaError } from './error.ts';
import type { GraphTable } from './graph_table.ts';
import { kPage, kRowWords, type StepLayout } from './buffers.ts';

/** As core/engine/batch.h; arrays of one element a row. Only read during the call. */
export interface Batch {
  readonly tokens: Int32Array;
  /** For RoPE. */
  readonly positions: Int32Array;
  /** Where a row's K and V go in its sequence's block table; it attends to 0 .. that. */
  readonly kvIndices: Int32Array;
  /** Index of the row's block table. Rows of one sequence are adjacent. */
  readonly sequence: Int32Array;
  readonly wantsLogits: Uint8Array;
  /** [sequences][tableStride] page numbers. */
  readonly blockTable: Int32Array;
  readonly tableStride: number;
}

interface Bounds {
  readonly pages: number;
  readonly maxRows: number;
  readonly maxLogitRows: number;
}

function refuse(what: string): never {
  throw new LaminaError('invalid_argument', `batch: ${what}`);
}

/** Refuses what would read or write out of place; gives the number of rows that want logits. */
export function checkBatch(batch: Batch, graph: GraphTable, bounds: Bounds): number {
  const n = batch.tokens.length;
  const arrays = [batch.positions, batch.kvIndices, batch.sequence, batch.wantsLogits];
  if (n < 1 || n > bounds.maxRows) refuse(`${n} rows, must be 1 to ${bounds.maxRows}`);
  if (arrays.some((a) => a.length !== n)) refuse('arrays differ in length');
  let selected = 0;
  for (let i = 0; i < n; ++i) {
    const token = batch.tokens[i]!;
    const sequence = batch.sequence[i]!;
    const kvIndex = batch.kvIndices[i]!;
    const pageAt = sequence * batch.tableStride + Math.floor(kvIndex / kPage);
    if (token < 0 || token >= graph.config.vocab) refuse(`token ${token} of row ${i} is outside the vocabulary of ${graph.config.vocab}`);
    if (batch.positions[i]! < 0 || kvIndex < 0 || sequence < 0) refuse(`row ${i} has a negative place`);
    if (Math.floor(kvIndex / kPage) >= batch.tableStride || pageAt >= batch.blockTable.length) {
      refuse(`row ${i} lies at ${kvIndex}, beyond its sequence's pages`);
    }
    selected += batch.wantsLogits[i] ? 1 : 0;
  }
  if (selected > bounds.maxLogitRows) refuse(`${selected} rows want logits, at most ${bounds.maxLogitRows} can`);
  return selected;
}

/** The words of a step's buffer, refilled for each. */
export class StepWords {
  readonly #graph: GraphTable;
  readonly #layout: StepLayout;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #floats: Float32Array<ArrayBuffer>;
  readonly #pages: number;
  #pagesEnd = 0;
  #ropeEnd = 0;

  constructor(graph: GraphTable, layout: StepLayout, pages: number) {
    this.#graph = graph;
    this.#layout = layout;
    this.#pages = pages;
    this.#words = new Uint32Array(layout.words);
    this.#floats = new Float32Array(this.#words.buffer);
  }

  /** Of `n` steps that begin with the batch. Returns the splits. */
  fill(batch: Batch, n: number, splits: { splits: number; positions: number }): number {
    const { rowsAt, selectedAt } = this.#layout;
    const words = this.#words;
    const rows = batch.tokens.length;
    const tables = this.#copyTables(batch, n);
    let selected = 0;
    for (let i = 0; i < rows; ++i) {
      words.set([batch.tokens[i]!, batch.kvIndices[i]!, tables[batch.sequence[i]!]!, i], rowsAt + kRowWords * i);
      this.#rope(i, batch.positions[i]!);
      if (batch.wantsLogits[i]) words[selectedAt + selected++] = i;
    }
    for (let i = 1; i < n; ++i) this.#rope(i, batch.positions[0]! + i);
    this.#ropeEnd = this.#layout.ropeAt + Math.max(rows, n) * this.#graph.config.headDim;
    words.set([rows, selected, splits.splits, splits.positions, 0], 0);
    return splits.splits;
  }

  write(queue: GPUQueue, to: GPUBuffer): void {
    const { ropeAt } = this.#layout;
    queue.writeBuffer(to, 0, this.#words, 0, this.#pagesEnd);
    queue.writeBuffer(to, 4 * ropeAt, this.#words, ropeAt, this.#ropeEnd - ropeAt);
  }

  // Every sequence's pages, as far as its rows and the steps after them reach. Returns where they begin.
  #copyTables(batch: Batch, n: number): number[] {
    const { pagesAt, ropeAt } = this.#layout;
    const begins: number[] = [];
    const reach: number[] = [];
    for (let i = 0; i < batch.tokens.length; ++i) {
      const s = batch.sequence[i]!;
      reach[s] = Math.max(reach[s] ?? 0, Math.floor((batch.kvIndices[i]! + n - 1) / kPage) + 1);
    }
    let at = pagesAt;
    for (const [s, pages] of reach.entries()) {
      if (pages === undefined) continue;
      if (pages > batch.tableStride) refuse(`${n} steps go beyond the pages of sequence ${s}`);
      if (at + pages > ropeAt) throw new LaminaError('resource_exhausted', 'batch: block tables of more pages than a step has room for');
      begins[s] = at - pagesAt;
      for (let p = 0; p < pages; ++p) {
        const page = batch.blockTable[s * batch.tableStride + p]!;
        if (page < 0 || page >= this.#pages) refuse(`page ${page} of sequence ${s} does not exist`);
        this.#words[at++] = page;
      }
    }
    this.#pagesEnd = at;
    return begins;
  }

  // As RopeFrequencies::fill of core/model/rope.cc: angles in f32, their sines and cosines rounded once.
  #rope(row: number, position: number): void {
    const { invFreq, attentionFactor } = this.#graph.rope;
    const at = this.#layout.ropeAt + row * this.#graph.config.headDim;
    for (let i = 0; i < invFreq.length; ++i) {
      const angle = Math.fround(position * Math.fround(invFreq[i]!));
      this.#floats[at + i] = Math.fround(Math.cos(angle)) * attentionFactor;
      this.#floats[at + invFreq.length + i] = Math.fround(Math.sin(angle)) * attentionFactor;
    }
  }
}
