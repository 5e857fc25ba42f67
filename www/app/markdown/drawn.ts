// SPDX-License-Identifier: Apache-2.0
// Blocks as elements that change no more than they must. Work comes in small steps: each `yield` is a
// place to stop until the next frame.

import type { Block } from './blocks.ts';
import { GrowingCode } from './code_bar.ts';
import { inlineHtml, type Definitions } from './parser.ts';
import { sanitize } from './sanitize.ts';

const PIECE = 400; // characters of HTML, at least, that are sanitized and replaced together

/** A text's definitions, and the same as a word to compare. */
export interface Context {
  definitions: Definitions;
  key: string;
}

/** Makes the elements in `home` from the `first`th on what `wanted` says. */
export function* drawBlocks(
  home: HTMLElement, drawn: DrawnBlock[], first: number, wanted: readonly Block[], context: Context,
): Generator<void> {
  for (const [i, block] of wanted.entries()) {
    let one = drawn[first + i];
    if (one?.kind !== kindOf(block)) {
      const made = new DrawnBlock(block);
      if (one) one.element.replaceWith(made.element);
      else home.append(made.element);
      drawn[first + i] = one = made;
    }
    yield* one.draw(block, context);
  }
  for (const { element } of drawn.splice(first + wanted.length)) element.remove();
}

function kindOf({ tag, code }: Block): string {
  return code ? `${tag} ${code.language}` : tag;
}

export class DrawnBlock {
  readonly kind: string;
  readonly element: HTMLElement;
  private readonly children: DrawnBlock[] = [];
  private readonly code: GrowingCode | null;
  private inline: DrawnInline | null = null;
  private attributes: Readonly<Record<string, string>> = {};

  constructor(block: Block) {
    this.kind = kindOf(block);
    this.code = block.code ? new GrowingCode(block.code.language) : null;
    this.element = this.code?.frame ?? document.createElement(block.tag);
  }

  *draw(block: Block, context: Context): Generator<void> {
    if (this.code) {
      if (this.code.set(block.code?.text ?? '')) yield;
      return;
    }
    this.setAttributes(block.attributes);
    if (block.inline !== undefined) yield* (this.inline ??= new DrawnInline(this.element)).draw(block.inline, context);
    else yield* drawBlocks(this.element, this.children, 0, block.children, context);
  }

  private setAttributes(wanted: Readonly<Record<string, string>>): void {
    for (const name of Object.keys(this.attributes)) if (!(name in wanted)) this.element.removeAttribute(name);
    for (const [name, value] of Object.entries(wanted)) {
      if (this.attributes[name] !== value) this.element.setAttribute(name, value);
    }
    this.attributes = wanted;
  }
}

// Text within a block, in pieces: those at its beginning stay when it grows.
class DrawnInline {
  private readonly home: HTMLElement;
  private content = '';
  private key = '';
  private pieces: { html: string; nodes: ChildNode[] }[] = [];

  constructor(home: HTMLElement) {
    this.home = home;
  }

  *draw(content: string, { definitions, key }: Context): Generator<void> {
    const same = content === this.content && (key === this.key || !content.includes('['));
    this.content = content;
    this.key = key;
    if (same) return;
    const wanted = piecesOf(inlineHtml(content, definitions));
    let stays = 0;
    while (stays < wanted.length && wanted[stays] === this.pieces[stays]?.html) ++stays;
    if (stays === wanted.length - 1 && this.appendText(wanted[stays] ?? '', stays)) return yield;
    const made: typeof this.pieces = [];
    for (const html of wanted.slice(stays)) {
      made.push({ html, nodes: isText(html) ? [document.createTextNode(html)] : [...sanitize(html).childNodes] });
      yield;
    }
    for (const { nodes } of this.pieces.splice(stays)) for (const node of nodes) node.remove();
    this.home.append(...made.flatMap(({ nodes }) => nodes));
    this.pieces.push(...made);
    yield;
  }

  // The most frequent change: more words at the end.
  private appendText(html: string, at: number): boolean {
    const last = this.pieces[at];
    const node = last?.nodes[0];
    if (!last || this.pieces.length > at + 1 || !(node instanceof Text)) return false;
    if (!isText(html) || !isText(last.html) || !html.startsWith(last.html)) return false;
    node.appendData(html.slice(last.html.length));
    last.html = html;
    return true;
  }
}

function piecesOf(stretches: readonly string[]): string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const html of stretches) {
    piece += html;
    if (piece.length < PIECE) continue;
    pieces.push(piece);
    piece = '';
  }
  if (piece !== '') pieces.push(piece);
  return pieces;
}

function isText(html: string): boolean {
  return !/[<&]/.test(html);
}
