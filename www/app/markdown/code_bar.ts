// SPDX-License-Identifier: Apache-2.0
// A block of code: a bar with its language and a button that copies, then its lines. They lie in
// stretches of some lines each, so that a change lays out no more than its stretch.

import { t } from '../text/t.ts';

/** Of one stretch. */
export const CODE_LINES = 16;

export function linesElement(): HTMLElement {
  const made = document.createElement('span');
  made.className = 'code-lines';
  return made;
}

function bar(language: string): HTMLElement {
  const made = document.createElement('div');
  made.className = 'code-bar';
  const name = document.createElement('span');
  name.textContent = language || t('markdown.code');
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'code-copy';
  button.textContent = t('markdown.copy');
  made.append(name, button);
  return made;
}

function frameOf(pre: HTMLElement, language: string): HTMLElement {
  const frame = document.createElement('div');
  frame.className = 'code';
  pre.tabIndex = 0;
  pre.setAttribute('role', 'region');
  pre.setAttribute('aria-label', t('markdown.codeIn', { language: language || t('markdown.code') }));
  frame.append(bar(language), pre);
  return frame;
}

/** A block of code that grows. */
export class GrowingCode {
  readonly frame: HTMLElement;
  private readonly language: string;
  private readonly pre = document.createElement('pre');
  private code = document.createElement('code');
  private text = '';
  private done = ''; // the text of all stretches but the last
  private last = document.createTextNode('');

  constructor(language: string) {
    this.language = language;
    this.frame = frameOf(this.pre, language);
    this.begin();
  }

  /** False where nothing changed. */
  set(text: string): boolean {
    if (text === this.text) return false;
    this.text = text;
    if (!text.startsWith(this.done) || !this.code.contains(this.last)) this.begin();
    for (;;) {
      const rest = text.slice(this.done.length);
      const end = endOfLines(rest, CODE_LINES);
      if (end < 0 || end === rest.length) {
        this.show(rest);
        return true;
      }
      this.show(rest.slice(0, end));
      this.done += rest.slice(0, end);
      this.nextStretch();
    }
  }

  // Another element: what colours the old one shall not touch it.
  private begin(): void {
    this.code = document.createElement('code');
    if (this.language) this.code.className = `language-${this.language}`;
    this.pre.replaceChildren(this.code);
    this.done = '';
    this.nextStretch();
  }

  private show(text: string): void {
    const { data } = this.last;
    if (text === data) return;
    if (text.startsWith(data)) this.last.appendData(text.slice(data.length));
    else this.last.data = text;
  }

  private nextStretch(): void {
    const lines = linesElement();
    this.last = document.createTextNode('');
    lines.append(this.last);
    this.code.append(lines);
  }
}

// Behind the `count`th line; -1 where there are fewer.
function endOfLines(text: string, count: number): number {
  let at = 0;
  for (let i = 0; i < count; ++i) {
    at = text.indexOf('\n', at) + 1;
    if (at === 0) return -1;
  }
  return at;
}

/** Clicks on copy buttons anywhere below `root`. */
export function copyOnClick(event: Event): void {
  const button = event.target instanceof Element ? event.target.closest('.code-copy') : null;
  const code = button?.closest('.code')?.querySelector('code');
  if (!button || !code) return;
  void navigator.clipboard.writeText(code.textContent ?? '').then(() => {
    button.textContent = t('markdown.copied');
    setTimeout(() => (button.textContent = t('markdown.copy')), 1500);
  });
}
