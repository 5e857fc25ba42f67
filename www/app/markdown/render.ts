// SPDX-License-Identifier: Apache-2.0
// A growing text as Markdown in a growing element. Blocks that cannot change any more are left alone,
// and so are finished parts of the last one: items, rows, sentences, lines of code. Only the last
// part is drawn again.

import {
  kindOf, MARK, offsetOfLine, paragraphCut, partsHtml, partsOf, splitBlocks, tableHead, type Kind, type Part,
} from './blocks.ts';
import { decorate, GrowingCode } from './code_bar.ts';
import { colour, painter } from './highlight.ts';
import { languageOf, parser, type Token } from './parser.ts';
import { sanitize } from './sanitize.ts';
import { dequeue, enqueue, type Job } from './work.ts';

const SLICE = 1000; // characters of backlog that are looked at in one go
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;

// A block whose parts but the last are done.
interface OpenBlock {
  kind: Kind;
  /** Where parts are. */
  element: HTMLElement;
  /** What makes the rest of the source read as a block of this kind. */
  prefix: string;
}

export class MarkdownRenderer {
  private readonly root: HTMLElement;
  private source = '';
  private seen = 0; // of source, looked at
  private from = 0; // of source, where what is not done begins
  private ended = false;
  private last: ChildNode[] = []; // nodes of what is not done
  private open: OpenBlock | null = null;
  private code: GrowingCode | null = null;
  private readonly job = () => this.work();
  private readonly later = new Set<Job>();

  constructor(root: HTMLElement) {
    this.root = root;
  }

  /** The text so far; anything but growth begins anew. `ended`: no more will come. */
  update(source: string, ended: boolean): void {
    const goesOn = source.startsWith(this.source) && (!this.ended || (ended && source === this.source));
    if (!goesOn) this.restart();
    if (this.ended) return;
    this.source = source;
    this.ended = ended;
    enqueue(this.job);
  }

  /** Stops what is still to be drawn. */
  dispose(): void {
    dequeue(this.job);
    for (const job of this.later) dequeue(job);
    this.later.clear();
  }

  private restart(): void {
    this.dispose();
    delete this.root.dataset['drawn'];
    this.root.replaceChildren();
    this.source = '';
    this.seen = this.from = 0;
    this.ended = false;
    this.last = [];
    this.open = null;
    this.code = null;
  }

  private work(): boolean {
    this.seen = this.nextEnd();
    const behind = this.seen < this.source.length;
    this.draw(behind);
    if (!behind && this.ended) this.finish();
    return !behind;
  }

  // At a line's end where there is one near: a cut marker would draw a block that is none.
  private nextEnd(): number {
    const { length } = this.source;
    if (length - this.seen <= SLICE) return length;
    const line = this.source.indexOf('\n', this.seen + SLICE);
    return line < 0 || line > this.seen + 2 * SLICE ? Math.min(length, this.seen + SLICE) : line + 1;
  }

  private draw(behind: boolean): void {
    const prefix = this.open?.prefix ?? '';
    const tail = prefix + this.source.slice(this.from, this.seen);
    const blocks = splitBlocks(parser.parse(tail, {}));
    const block = blocks.at(-1);
    if (!block) return;
    for (const one of blocks.slice(0, -1)) this.freeze(one);
    const line = block[0]?.map?.[0] ?? 0;
    if (line > 0) this.from += offsetOfLine(tail, line) - prefix.length;
    const kind = kindOf(block);
    if (this.open && this.open.kind !== kind) this.dropOpen();
    if (kind === 'p') this.growParagraph(block, behind);
    else if (kind !== null) this.growParts(block, kind, behind);
    else if (block[0]?.type === 'fence') this.drawCode(block[0]);
    else if (!behind) this.show(block);
  }

  // For good: another block follows.
  private freeze(block: Token[]): void {
    const kind = kindOf(block);
    if (this.open && this.open.kind !== kind) this.dropOpen();
    if (this.open && kind === 'p') this.addInline(block[1]?.content.replace(MARK, '') ?? '');
    else if (this.open && kind) this.addParts(partsOf(block, kind));
    else if (block[0]?.type === 'fence') this.drawCode(block[0]);
    else this.show(block);
    this.open = null;
    this.keep();
  }

  // What is drawn of the last block stays.
  private keep(): void {
    for (const node of this.last) if (node instanceof HTMLElement) this.colourLater(node);
    this.last = [];
    this.code = null;
  }

  // What looked like one more part turned out to be something else.
  private dropOpen(): void {
    this.replaceLast([], this.root);
    if (this.open && !this.open.element.hasChildNodes()) this.open.element.remove();
    this.open = null;
  }

  private replaceLast(nodes: ChildNode[], parent: HTMLElement): void {
    for (const node of this.last) node.remove();
    parent.append(...nodes);
    this.last = nodes;
  }

  private show(block: Token[]): void {
    this.code = null;
    this.replaceLast(nodesOf(parser.renderer.render(block, parser.options, {})), this.root);
  }

  private drawCode(token: Token): void {
    const language = languageOf(token.info);
    if (this.code?.language !== language) {
      this.code = new GrowingCode(language);
      this.replaceLast([this.code.frame], this.root);
    }
    this.code.set(token.content);
  }

  // --- lists and tables ---

  private growParts(block: Token[], kind: Kind, behind: boolean): void {
    const parts = partsOf(block, kind);
    const rest = parts.at(-1);
    if (!rest || (!this.open && kind === 'table' && parts.length < 2)) return behind ? undefined : this.show(block);
    const text = this.source.slice(this.from, this.seen);
    const before = this.open?.prefix ?? ''; // of text, when it was parsed
    if (!this.open) {
      const prefix = kind === 'table' ? text.slice(0, offsetOfLine(text, 2)) : '';
      this.open = { kind, element: this.openElement(block, kind), prefix };
    }
    const done = parts.slice(0, -1);
    if (done.length > 0) {
      this.addParts(done);
      this.keep();
      const line = rest.line - (block[0]?.map?.[0] ?? 0);
      this.from += offsetOfLine(before + text, line) - before.length;
    }
    if (!behind || this.last.length === 0) this.addParts([rest]);
  }

  private openElement(block: Token[], kind: Kind): HTMLElement {
    if (kind === 'table') {
      const nodes = nodesOf(parser.renderer.render(tableHead(block), parser.options, {}));
      this.replaceLast(nodes, this.root);
      this.last = [];
      const body = nodes.map((node) => (node as HTMLElement).querySelector?.('tbody')).find(Boolean);
      if (body) return body;
    }
    const list = document.createElement(kind === 'table' ? 'tbody' : kind);
    const start = block[0]?.attrGet('start');
    if (start) list.setAttribute('start', String(start));
    this.replaceLast([list], this.root);
    this.last = [];
    return list;
  }

  private addParts(parts: readonly Part[]): void {
    const { open } = this;
    if (!open) return;
    const made = sanitize(partsHtml(parts, open.kind));
    decorate(made);
    const home = open.kind === 'table' ? made.querySelector('tbody') : made.firstElementChild;
    this.replaceLast([...(home?.children ?? [])], open.element);
  }

  // --- long paragraphs ---

  private growParagraph(block: Token[], behind: boolean): void {
    const text = this.source.slice(this.from, this.seen);
    const cut = paragraphCut(text);
    if (cut === 0 && !this.open) return behind ? undefined : this.show(block);
    if (!this.open) {
      const element = document.createElement('p');
      this.replaceLast([element], this.root);
      this.last = [];
      this.open = { kind: 'p', element, prefix: MARK };
    }
    if (cut > 0) {
      this.addInline(text.slice(0, cut));
      this.last = [];
      this.from += cut;
    }
    if (!behind) this.addInline(text.slice(cut));
  }

  private addInline(text: string): void {
    if (!this.open) return;
    const [paragraph] = nodesOf(`<p>${parser.renderInline(text, {})}</p>`);
    this.replaceLast([...(paragraph?.childNodes ?? [])], this.open.element);
  }

  // --- the end ---

  private finish(): void {
    this.keep();
    this.open = null;
    this.root.dataset['drawn'] = '';
    if (DEFINITION.test(this.source)) this.drawAnew(); // a reference may be used far from there
  }

  private drawAnew(): void {
    const env = {};
    const blocks = splitBlocks(parser.parse(this.source, env));
    this.root.replaceChildren();
    this.enqueueLater(() => {
      const block = blocks.shift();
      if (block) this.replaceLast(nodesOf(parser.renderer.render(block, parser.options, env)), this.root);
      this.keep();
      return blocks.length === 0;
    });
  }

  private enqueueLater(work: Job): void {
    const job = () => {
      const done = work();
      if (done) this.later.delete(job);
      return done;
    };
    this.later.add(job);
    enqueue(job);
  }

  private colourLater(frame: HTMLElement): void {
    for (const code of frame.querySelectorAll<HTMLElement>('pre > code')) {
      const language = /language-(\S+)/.exec(code.className)?.[1] ?? '';
      if (language === '') continue;
      void colour(code.textContent ?? '', language).then((coloured) => {
        if (coloured && code.isConnected) this.enqueueLater(painter(code, coloured));
      });
    }
  }
}

function nodesOf(html: string): ChildNode[] {
  const fragment = sanitize(html);
  decorate(fragment);
  return [...fragment.childNodes];
}
