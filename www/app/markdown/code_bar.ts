// SPDX-License-Identifier: Apache-2.0
// The bar above a block of code: its language and a button that copies.

import { t } from '../text/t.ts';

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

/** A block of code to be grown. */
export function decorateCode(language: string): { frame: HTMLElement; text: Text } {
  const pre = document.createElement('pre');
  const code = document.createElement('code');
  if (language) code.className = `language-${language}`;
  const text = document.createTextNode('');
  code.append(text);
  pre.append(code);
  return { frame: frameOf(pre, language), text };
}

/** Puts bars on all code in there. */
export function decorate(fragment: DocumentFragment): void {
  for (const pre of fragment.querySelectorAll('pre')) {
    const language = /language-(\S+)/.exec(pre.firstElementChild?.className ?? '')?.[1] ?? '';
    const place = document.createComment('');
    pre.replaceWith(place);
    place.replaceWith(frameOf(pre, language));
  }
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
