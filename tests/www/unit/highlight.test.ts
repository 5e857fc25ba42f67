// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { painter } from '../../../www/app/markdown/highlight.ts';
import { stretches } from '../../../www/app/markdown/highlight_worker.ts';
import { highlight } from '../../../www/app/markdown/languages.ts';

const CODE = `/* two\nlines */\nconst a = "<b> & 'c'";\n${Array.from({ length: 80 }, (_, i) => `f(${i}); // ${i}`).join('\n')}\n`;

test('stretches have the whole code', () => {
  const { texts, classes } = stretches(highlight(CODE, 'js') ?? '');
  expect(texts.join('')).toBe(CODE);
  expect(classes).toContain('hljs-comment');
  expect(classes).toContain('hljs-string');
});

test('an unknown language is none', () => expect(highlight('x', 'nonsense')).toBeNull());

test('colours are put in line by line, and the text stays', () => {
  const code = document.createElement('code');
  code.textContent = CODE;
  const paint = painter(code, stretches(highlight(CODE, 'js') ?? ''));
  let calls = 1;
  while (!paint()) ++calls;
  expect(calls).toBeGreaterThan(1);
  expect(code.textContent).toBe(CODE);
  expect(code.querySelector('.hljs-keyword')?.textContent).toBe('const');
});

test('a class that is none of the highlighter\'s is left out', () => {
  const code = document.createElement('code');
  painter(code, { texts: ['a'], classes: ['top sidebar'] })();
  expect(code.innerHTML).toBe('<span class="code-lines">a</span>');
});
