// SPDX-License-Identifier: Apache-2.0
// Colours in code. The languages come as one script when the first code does.

import { sanitize } from './sanitize.ts';

const MOST = 60_000; // characters: more stays plain

type Highlighter = (code: string, language: string) => string | null;

let loading: Promise<Highlighter> | undefined;

export function loadHighlighter(): Promise<Highlighter> {
  loading ??= import('./languages.ts').then((part) => part.highlight);
  loading.catch(() => (loading = undefined));
  return loading;
}

/** The code as coloured nodes; null where its language is not known. */
export function colour(highlighter: Highlighter, code: string, language: string): DocumentFragment | null {
  if (language === '' || code.length > MOST) return null;
  const html = highlighter(code, language);
  return html === null ? null : sanitize(html);
}
