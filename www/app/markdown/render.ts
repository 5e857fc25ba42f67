// SPDX-License-Identifier: Apache-2.0
// A growing text as Markdown in a growing element. Blocks that more text cannot change are left alone;
// the last ones are parsed again as they grow, and of their elements only what differs is drawn. At the
// end the whole is parsed, so it is the same whatever the steps were that it came in.

import { blocksOf, offsetOfLine, type Block } from './blocks.ts';
import { colour, painter } from './highlight.ts';
import { drawBlocks, type DrawnBlock } from './drawn.ts';
import type { Definitions } from './parser.ts';
import { colouring, drawing, type Job } from './work.ts';

const UNSURE_LINES = 2; // an unfinished line, and the one before: a table's head is known by its second line

export class MarkdownRenderer {
  private readonly root: HTMLElement;
  private source = '';
  private ended = false;
  private walk: Iterator<void> | null = null; // drawing under way
  private walked = { length: 0, ended: false }; // the text that it draws
  private readonly blocks: DrawnBlock[] = [];
  private from = 0; // of source, where what may change begins
  private sure = 0; // blocks before it
  private coloured = new WeakSet<HTMLElement>(); // code that is, or will be
  private readonly job = () => this.work();
  private readonly painting = new Set<Job>();

  constructor(root: HTMLElement) {
    this.root = root;
  }

  /** The text so far; anything but growth begins anew. `ended`: no more will come. */
  update(text: string, ended: boolean): void {
    const source = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
    const goesOn = source.startsWith(this.source) && (!this.ended || (ended && source === this.source));
    if (!goesOn) this.restart();
    if (this.ended) return;
    this.source = source;
    this.ended = ended;
    drawing.add(this.job);
  }

  /** Stops what is still to be drawn. */
  dispose(): void {
    drawing.remove(this.job);
    for (const job of this.painting) colouring.remove(job);
    this.painting.clear();
  }

  private restart(): void {
    this.dispose();
    delete this.root.dataset['drawn'];
    this.root.replaceChildren();
    this.source = '';
    this.ended = false;
    this.walk = null;
    this.blocks.length = 0;
    this.from = this.sure = 0;
  }

  private work(): boolean {
    if (!this.walk) {
      this.walked = { length: this.source.length, ended: this.ended };
      this.walk = this.draw();
    }
    if (!this.walk.next().done) return false;
    this.walk = null;
    if (this.walked.length < this.source.length || this.walked.ended !== this.ended) return false;
    if (this.ended) this.root.dataset['drawn'] = '';
    return true;
  }

  private *draw(): Generator<void> {
    const { ended } = this.walked;
    if (ended) this.from = this.sure = 0;
    const text = this.source.slice(this.from);
    const definitions: Definitions = {};
    const wanted = blocksOf(text, definitions);
    yield;
    const key = definitions.references ? JSON.stringify(definitions.references) : '';
    yield* drawBlocks(this.root, this.blocks, this.sure, wanted, { definitions, key });
    const sureBefore = this.sure;
    if (!ended) this.settle(text, wanted);
    this.colourCode(this.blocks.slice(sureBefore, ended ? this.blocks.length : this.sure));
  }

  // Moves on behind blocks that are followed by another for sure.
  private settle(text: string, blocks: readonly Block[]): void {
    const lines = text.split('\n').length - UNSURE_LINES;
    const at = blocks.findLastIndex(({ line }) => line < lines);
    if (at <= 0) return;
    this.from += offsetOfLine(text, blocks[at]?.line ?? 0);
    this.sure += at;
  }

  private colourCode(blocks: readonly DrawnBlock[]): void {
    for (const { element } of blocks) {
      for (const code of element.querySelectorAll<HTMLElement>('pre > code')) this.colourLater(code);
    }
  }

  private colourLater(code: HTMLElement): void {
    if (this.coloured.has(code)) return;
    this.coloured.add(code);
    const language = /language-(\S+)/.exec(code.className)?.[1] ?? '';
    if (language === '') return;
    void colour(code.textContent ?? '', language).then((coloured) => {
      if (coloured && code.isConnected) this.paint(painter(code, coloured));
    });
  }

  private paint(next: Job): void {
    const job = () => {
      const done = next();
      if (done) this.painting.delete(job);
      return done;
    };
    this.painting.add(job);
    colouring.add(job);
  }
}
