// SPDX-License-Identifier: Apache-2.0
// A text's blocks as the tree of elements that shows them.

import { languageOf, parseBlocks, type Definitions, type Token } from './parser.ts';

export interface Block {
  /** Name of its element. */
  tag: string;
  attributes: Record<string, string>;
  children: Block[];
  /** Markdown within a line of text. */
  inline?: string;
  code?: { text: string; language: string };
  /** Where it begins in the text that was parsed. */
  line: number;
}

/** Blocks at the top level. */
export function blocksOf(source: string, definitions: Definitions): Block[] {
  const top: Block[] = [];
  const open: Block[] = [];
  const add = (block: Block): Block => ((open.at(-1)?.children ?? top).push(block), block);
  for (const token of parseBlocks(source, definitions)) {
    if (token.type === 'table_open') open.push(add({ ...blockOf(token), tag: 'div', attributes: { class: 'table', tabindex: '0' } }));
    if (token.hidden && token.nesting === 1) tighten(open.at(-2));
    if (token.nesting === 1) open.push(add(blockOf(token)));
    else if (token.nesting === -1) open.pop();
    else if (token.type === 'inline') inlineInto(open.at(-1), token.content);
    else if (token.tag !== '') add(blockOf(token)); // what defines a reference has none
    if (token.type === 'table_close') open.pop();
  }
  return top;
}

function blockOf(token: Token): Block {
  const { tag, content, type } = token;
  const block: Block = { tag, attributes: {}, children: [], line: token.map?.[0] ?? 0 };
  if (type === 'fence' || type === 'code_block') return { ...block, tag: 'pre', code: { text: content, language: languageOf(token.info) } };
  const start = token.attrGet('start');
  if (start !== null) block.attributes['start'] = String(start);
  const align = /text-align:(left|right|center)/.exec(String(token.attrGet('style') ?? ''))?.[1];
  if (align) block.attributes['class'] = `align-${align}`;
  return block;
}

function inlineInto(block: Block | undefined, content: string): void {
  if (block) block.inline = content;
}

// Items of a tight list have no space between: their text is in <p> all the same, so that a list that
// turns out to be loose changes its class alone.
function tighten(list: Block | undefined): void {
  if (list) list.attributes['class'] = 'tight';
}

export function offsetOfLine(text: string, line: number): number {
  let at = 0;
  for (let i = 0; i < line; ++i) at = text.indexOf('\n', at) + 1;
  return at;
}
