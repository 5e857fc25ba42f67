// SPDX-License-Identifier: Apache-2.0
// Markdown as models write it: CommonMark, tables and strikethrough. HTML in it stays text, images
// become links, and nothing needs an inline style.

import MarkdownIt from 'markdown-it';
import { t } from '../text/t.ts';

type Parser = InstanceType<typeof MarkdownIt>;
export type Token = ReturnType<Parser['parse']>[number];

/** What a text defines for its inline parts: targets of references. */
export type Definitions = NonNullable<Parameters<Parser['parse']>[1]>;

const SAFE_LINK = /^(https?:|mailto:)/i;

function makeParser(): Parser {
  const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
  md.validateLink = (url) => SAFE_LINK.test(url.trim());
  md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
  // A picture would tell its server that this answer was read: it is named, not fetched.
  md.renderer.rules['image'] = (tokens, i) => {
    const token = tokens[i];
    const escape = md.utils.escapeHtml;
    const alt = token?.content || t('markdown.image');
    const src = String(token?.attrGet('src') ?? '');
    if (!SAFE_LINK.test(src)) return escape(alt);
    return `<a class="image-link" href="${escape(src)}">${escape(t('markdown.imageLink', { alt }))}</a>`;
  };
  return md;
}

const parser = makeParser();

/** Tokens of blocks, what is inline within left as it is; adds to `definitions`. */
export function parseBlocks(source: string, definitions: Definitions): Token[] {
  const tokens: Token[] = [];
  parser.block.parse(source.replaceAll('\0', '\uFFFD'), parser, definitions, tokens);
  return tokens;
}

/** HTML of each stretch in which nothing is open at its ends. */
export function inlineHtml(content: string, definitions: Definitions): string[] {
  const tokens = parser.parseInline(content, definitions)[0]?.children ?? [];
  const stretches: string[] = [];
  let begin = 0;
  let depth = 0;
  tokens.forEach(({ nesting }, i) => {
    depth += nesting;
    if (depth > 0) return;
    stretches.push(parser.renderer.renderInline(tokens.slice(begin, i + 1), parser.options, definitions));
    begin = i + 1;
  });
  return stretches;
}

/** The word after ```, if it looks like a language's name. */
export function languageOf(info: string): string {
  return /^[A-Za-z0-9+#._-]{1,24}/.exec(info.trim())?.[0].toLowerCase() ?? '';
}
