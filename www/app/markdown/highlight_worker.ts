// SPDX-License-Identifier: Apache-2.0
// Colours code beside the page: a long block takes longer than a frame.

import type { Coloured, ColourRequest } from './highlight.ts';
import { highlight } from './languages.ts';

const ENTITIES: Readonly<Record<string, string>> = {
  '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#x27;': "'",
};

/** highlight.js tells HTML of spans: here it becomes stretches of text with a class each. */
export function stretches(html: string): Coloured {
  const texts: string[] = [];
  const classes: string[] = [];
  const stack: string[] = [''];
  for (const [part, opened] of html.matchAll(/<span class="([^"]*)">|<\/span>|[^<]+/g)) {
    if (opened !== undefined) stack.push(opened);
    else if (part === '</span>') stack.pop();
    else {
      texts.push(part.replace(/&(amp|lt|gt|quot|#x27);/g, (entity) => ENTITIES[entity] ?? entity));
      classes.push(stack.at(-1) ?? '');
    }
  }
  return { texts, classes };
}

globalThis.onmessage = ({ data }: MessageEvent<ColourRequest>) => {
  const { id, code, language } = data;
  const html = highlight(code, language);
  globalThis.postMessage({ id, coloured: html === null ? null : stretches(html) });
};
