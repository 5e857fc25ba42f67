// SPDX-License-Identifier: Apache-2.0
// Whole sentences out of a growing text, for ears: without Markdown's marks, code by its name only.

import { t } from '../text/t.ts';

/** As it would be read aloud. */
export function spoken(markdown: string): string {
  return markdown
    .replace(/```[^\n]*\n[\s\S]*?(```|$)/g, ` ${t('markdown.code')}. `)
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/^[ \t]*(#{1,6}|>|[-*+]|\d+[.)])[ \t]+/gm, '')
    .replace(/[*_`~|]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}

export class SentenceReader {
  private read = 0; // of the text, told

  /** Where telling begins, for an answer that goes on. */
  constructor(from = 0) {
    this.read = from;
  }

  /** The sentences that are whole since the last call; at the end, all that is left. */
  next(text: string, ended: boolean): string {
    const rest = text.slice(this.read);
    const length = ended ? rest.length : wholeLength(rest);
    this.read += length;
    return spoken(rest.slice(0, length));
  }
}

// Up to the last end of a sentence or paragraph, but not into code that is still open.
function wholeLength(text: string): number {
  const fence = openFenceAt(text);
  const whole = fence < 0 ? text : text.slice(0, fence);
  let end = 0;
  for (const match of whole.matchAll(/[.!?…。！？]["'”’)\]]*(?=\s)|\n\n/g)) end = match.index + match[0].length;
  return end;
}

function openFenceAt(text: string): number {
  let open = -1;
  for (const match of text.matchAll(/^```/gm)) open = open < 0 ? match.index : -1;
  return open;
}
