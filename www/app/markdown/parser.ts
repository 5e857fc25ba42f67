// SPDX-License-Identifier: Apache-2.0
// Markdown as models write it: CommonMark, tables and strikethrough. HTML in it stays text, images
// become links, and nothing needs an inline style.

import MarkdownIt from 'markdown-it';
import { t } from '../text/t.ts';

type Parser = InstanceType<typeof MarkdownIt>;
export type Token = ReturnType<Parser['parse']>[number];

const SAFE_LINK = /^(https?:|mailto:)/i;

function makeParser(): Parser {
  const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
  md.validateLink = (url) => SAFE_LINK.test(url.trim());
  md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
  const { rules } = md.renderer;
  // A picture would tell its server that this answer was read: it is named, not fetched.
  rules['image'] = (tokens, i) => {
    const token = tokens[i];
    const escape = md.utils.escapeHtml;
    const alt = token?.content || t('markdown.image');
    const src = String(token?.attrGet('src') ?? '');
    if (!SAFE_LINK.test(src)) return escape(alt);
    return `<a class="image-link" href="${escape(src)}">${escape(t('markdown.imageLink', { alt }))}</a>`;
  };
  for (const cell of ['th_open', 'td_open']) {
    rules[cell] = (tokens, i) => {
      const align = /text-align:(left|right|center)/.exec(String(tokens[i]?.attrGet('style') ?? ''))?.[1];
      const tag = cell.slice(0, 2);
      return align ? `<${tag} class="align-${align}">` : `<${tag}>`;
    };
  }
  rules['table_open'] = () => '<div class="table" tabindex="0"><table>';
  rules['table_close'] = () => '</table></div>';
  rules['fence'] = (tokens, i) => {
    const token = tokens[i];
    return codeHtml(token?.content ?? '', languageOf(token?.info ?? ''));
  };
  rules['code_block'] = (tokens, i) => codeHtml(tokens[i]?.content ?? '', '');
  return md;
}

export const parser = makeParser();

/** The word after ```, if it looks like a language's name. */
export function languageOf(info: string): string {
  return /^[A-Za-z0-9+#._-]{1,24}/.exec(info.trim())?.[0].toLowerCase() ?? '';
}

export function codeHtml(code: string, language: string): string {
  const name = language ? ` class="language-${parser.utils.escapeHtml(language)}"` : '';
  return `<pre tabindex="0"><code${name}>${parser.utils.escapeHtml(code)}</code></pre>`;
}
