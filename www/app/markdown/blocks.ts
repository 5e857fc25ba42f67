// SPDX-License-Identifier: Apache-2.0
// Blocks of Markdown as the parser's tokens, and the parts of those that may grow long: items of a
// list, rows of a table, sentences of a paragraph.

import { parser, type Token } from './parser.ts';

/** Put before the rest of a paragraph, so that it does not read as something else. */
export const MARK = '\uE000';
const LONG_PARAGRAPH = 1200; // characters
const OPEN_END = 240; // characters at a paragraph's end that may yet change
const FORCED = 5000;

export type Kind = 'ul' | 'ol' | 'table' | 'p';

/** Tokens of each block at the top level. */
export function splitBlocks(tokens: readonly Token[]): Token[][] {
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

/** Null for a block without parts. */
export function kindOf(block: readonly Token[]): Kind | null {
  switch (block[0]?.type) {
    case 'bullet_list_open':
      return 'ul';
    case 'ordered_list_open':
      return 'ol';
    case 'table_open':
      return 'table';
    case 'paragraph_open':
      return 'p';
    default:
      return null;
  }
}

export interface Part {
  tokens: Token[];
  /** Of the text that was parsed. */
  line: number;
}

/** Items of a list, rows of a table's body. */
export function partsOf(block: readonly Token[], kind: Kind): Part[] {
  const parts: Part[] = [];
  const body = kind === 'table' ? block.findIndex(({ type }) => type === 'tbody_open') : 0;
  if (body < 0) return parts;
  const [open, level] = kind === 'table' ? ['tr_open', 2] : ['list_item_open', 1];
  const first = block[0]?.map?.[0] ?? 0;
  for (const token of block.slice(body + 1, kind === 'table' ? -2 : -1)) {
    if (token.type === open && token.level === level) {
      const line = kind === 'table' ? first + 2 + parts.length : (token.map?.[0] ?? first);
      parts.push({ tokens: [], line });
    }
    parts.at(-1)?.tokens.push(token);
  }
  return parts;
}

/** A table without the rows of its body. */
export function tableHead(block: readonly Token[]): Token[] {
  const body = block.findIndex(({ type }) => type === 'tbody_open');
  return [...block.slice(0, body + 1), ...block.slice(-2)];
}

/** HTML of parts within what they need around them. */
export function partsHtml(parts: readonly Part[], kind: Kind): string {
  const inner = parser.renderer.render(parts.flatMap(({ tokens }) => tokens), parser.options, {});
  return kind === 'table' ? `<table><tbody>${inner}</tbody></table>` : `<${kind}>${inner}</${kind}>`;
}

/** Where a paragraph may be left alone: behind a sentence in which nothing is open; 0: nowhere. */
export function paragraphCut(text: string): number {
  if (text.length < LONG_PARAGRAPH) return 0;
  const settled = text.slice(0, text.length - OPEN_END);
  const ends = [...settled.matchAll(/[.!?…]["'”’)]*[ \n](?=\S)|[^\s]\n(?=\S)/g)].map((one) => one.index + one[0].length);
  const good = ends.findLast((end) => isClosed(settled.slice(0, end)));
  return good ?? (text.length > FORCED ? (ends.at(-1) ?? settled.length) : 0);
}

function isClosed(text: string): boolean {
  const count = (mark: string) => text.split(mark).length - 1;
  return count('`') % 2 === 0 && count('*') % 2 === 0 && count('~~') % 2 === 0 && count('[') === count(']') &&
    count(' _') === count('_ ');
}

export function offsetOfLine(text: string, line: number): number {
  let at = 0;
  for (let i = 0; i < line; ++i) at = text.indexOf('\n', at) + 1;
  return at;
}
