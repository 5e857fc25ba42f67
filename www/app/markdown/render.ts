// SPDX-License-Identifier: Apache-2.0
// A growing text as Markdown in a growing element. Blocks that cannot change any more are left
// alone; only the last is drawn again. Lists are left item by item, and code grows as text.

import { dequeue, enqueue } from './work.ts';
import { colour, loadHighlighter } from './highlight.ts';
import { decorate, decorateCode } from './code_bar.ts';
import { languageOf, parser, type Token } from './parser.ts';
import { sanitize } from './sanitize.ts';

const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;
const SLICE = 1500; // characters of backlog that are looked at in one go

interface OpenCode {
  text: Text;
  language: string;
  frame: HTMLElement;
}

export class MarkdownRenderer {
  private readonly root: HTMLElement;
  private source = '';
  private seen = 0; // of source, looked at
  private from = 0; // of source, where the last block begins
  private ended = false;
  private env: Record<string, unknown> = {}; // of the last parse
  private last: ChildNode[] = []; // the last block's nodes
  private list: HTMLElement | null = null; // whose items before the last are done
  private code: OpenCode | null = null;
  private readonly job = () => this.work();
  private readonly later = new Set<() => boolean>();

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
    delete this.root.dataset['drawn'];
    this.root.replaceChildren();
    this.source = '';
    this.seen = this.from = 0;
    this.ended = false;
    this.last = [];
    this.list = null;
    this.code = null;
  }

  private work(): boolean {
    this.seen = this.nextEnd();
    const behind = this.seen < this.source.length;
    this.draw(behind);
    if (behind) return false;
    if (this.ended) this.finish();
    return true;
  }

  // At a line's end where there is one: a cut marker would draw a block that is none.
  private nextEnd(): number {
    const { length } = this.source;
    if (length - this.seen <= SLICE) return length;
    const line = this.source.indexOf('\n', this.seen + SLICE);
    return line < 0 ? length : line + 1;
  }

  // Freezes what is followed by another block, and draws the last one, which may yet change.
  private draw(behind: boolean): void {
    const tail = this.source.slice(this.from, this.seen);
    const blocks = splitBlocks(parser.parse(tail, (this.env = {})));
    const open = blocks.at(-1);
    if (!open) return;
    for (const block of blocks.slice(0, -1)) this.freeze(block);
    if (blocks.length > 1) this.moveFrom(tail, open);
    if (isList(open[0])) return this.drawList(this.source.slice(this.from, this.seen), open, behind);
    this.endList();
    if (isOpenFence(open) && !behind) return this.drawCode(open[0] as Token);
    if (!behind) this.show(open);
  }

  private moveFrom(tail: string, block: Token[]): void {
    this.from += offsetOfLine(tail, block[0]?.map?.[0] ?? 0);
  }

  private freeze(block: Token[]): void {
    if (isList(block[0]) && this.joins(block[0] as Token)) this.appendItems(listItems(block), block[0] as Token);
    else {
      this.endList();
      this.show(block);
    }
    this.list = null;
    this.keep();
  }

  // The last block's nodes are there for good.
  private keep(): void {
    for (const node of this.last) if (node instanceof HTMLElement) this.colourLater(node);
    this.last = [];
    this.code = null;
  }

  private show(block: Token[]): void {
    const fragment = sanitize(parser.renderer.render(block, parser.options, this.env));
    decorate(fragment);
    this.replaceLast(fragment);
  }

  private replaceLast(fragment: DocumentFragment): void {
    this.code = null;
    const nodes = [...fragment.childNodes];
    for (const node of this.last) node.remove();
    this.root.append(fragment);
    this.last = nodes;
  }

  // --- code: only its text grows ---

  private drawCode(token: Token): void {
    const language = languageOf(token.info);
    if (!this.code || this.code.language !== language) {
      const { frame, text } = decorateCode(language);
      for (const node of this.last) node.remove();
      this.root.append(frame);
      this.last = [frame];
      this.code = { text, language, frame };
    }
    const { text } = this.code;
    const { content } = token;
    if (content.startsWith(text.data)) text.appendData(content.slice(text.data.length));
    else text.data = content;
  }

  // --- lists: items before the last are done ---

  private drawList(tail: string, block: Token[], behind: boolean): void {
    const head = block[0] as Token;
    const items = listItems(block);
    const done = items.slice(0, -1);
    const rest = items.at(-1) ?? [];
    if (!this.joins(head)) {
      this.endList();
      for (const node of this.last) node.remove();
      this.last = [];
      this.list = this.newList(head);
    }
    if (done.length > 0) {
      this.appendItems(done, head);
      for (const node of this.last) if (node instanceof HTMLElement) this.colourLater(node);
      this.last = [];
      const line = (rest[0]?.map?.[0] ?? 0) - (head.map?.[0] ?? 0);
      this.from += offsetOfLine(tail, line);
    }
    if (!behind || this.last.length === 0) this.appendItems([rest], head, true);
  }

  private newList(head: Token): HTMLElement {
    const list = document.createElement(head.tag);
    const start = head.attrGet('start');
    if (start) list.setAttribute('start', String(start));
    this.root.append(list);
    return list;
  }

  private joins(head: Token): boolean {
    return this.list !== null && this.list.localName === head.tag;
  }

  // What looked like one more item turned out to be something else.
  private endList(): void {
    if (!this.list) return;
    for (const node of this.last) node.remove();
    this.last = [];
    if (this.list.childElementCount === 0) this.list.remove();
    this.list = null;
  }

  private appendItems(items: Token[][], head: Token, open = false): void {
    const tokens = [head, ...items.flat()];
    const html = `${parser.renderer.render(tokens, parser.options, this.env)}</${head.tag}>`;
    const made = sanitize(html);
    decorate(made);
    for (const node of this.last) node.remove();
    const children = [...(made.firstElementChild?.children ?? [])];
    this.list?.append(...children);
    this.last = open ? children : [];
    if (!open) for (const child of children) this.colourLater(child as HTMLElement);
  }

  // --- the end ---

  private finish(): void {
    this.keep();
    this.list = null;
    this.root.dataset['drawn'] = '';
    if (DEFINITION.test(this.source)) this.drawAnew(); // a reference may be used far from there
  }

  private drawAnew(): void {
    const blocks = splitBlocks(parser.parse(this.source, (this.env = {})));
    this.root.replaceChildren();
    const job = () => {
      const block = blocks.shift();
      if (block) {
        this.show(block);
        this.keep();
      }
      if (blocks.length === 0) this.later.delete(job);
      return blocks.length === 0;
    };
    this.later.add(job);
    enqueue(job);
  }

  private colourLater(frame: HTMLElement): void {
    const codes = frame.localName === 'code' ? [frame] : [...frame.querySelectorAll('pre > code')];
    for (const code of codes) {
      const language = /language-(\S+)/.exec(code.className)?.[1] ?? '';
      if (language === '') continue;
      void loadHighlighter().then((highlighter) => {
        const job = () => {
          this.later.delete(job);
          const nodes = colour(highlighter, code.textContent ?? '', language);
          if (nodes) code.replaceChildren(nodes);
          return true;
        };
        this.later.add(job);
        enqueue(job);
      }, () => {}); // without colours
    }
  }
}

// Tokens of each block at the top level.
function splitBlocks(tokens: readonly Token[]): Token[][] {
  const blocks: Token[][] = [];
  let block: Token[] = [];
  for (const token of tokens) {
    block.push(token);
    if (token.level !== 0 || token.nesting === 1) continue;
    blocks.push(block);
    block = [];
  }
  return blocks;
}

function listItems(block: readonly Token[]): Token[][] {
  const items: Token[][] = [];
  for (const token of block.slice(1, -1)) {
    if (token.type === 'list_item_open' && token.level === 1) items.push([]);
    items.at(-1)?.push(token);
  }
  return items;
}

function isList(token: Token | undefined): boolean {
  return token?.type === 'bullet_list_open' || token?.type === 'ordered_list_open';
}

function isOpenFence(block: readonly Token[]): boolean {
  return block[0]?.type === 'fence';
}

function offsetOfLine(text: string, line: number): number {
  let at = 0;
  for (let i = 0; i < line; ++i) at = text.indexOf('\n', at) + 1;
  return at;
}
