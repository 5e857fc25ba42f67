// SPDX-License-Identifier: Apache-2.0
// Blocks as they grow, and hostile text before anything sanitizes it: DOMPurify wants a browser's DOM,
// so it is left out here; with it, the same corpus is put on the page in e2e/chat_xss.test.ts.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { frame, grown, make, whole } from './drawing.ts';
import { INERT_ATTRIBUTES, INERT_ELEMENTS, XSS_CORPUS } from './xss_corpus.ts';

vi.mock('../../../www/app/markdown/sanitize.ts', () => ({
  sanitize: (html: string) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    return template.content;
  },
}));

const steps = (source: string, step: number) => grown(source, () => step);

afterEach(() => document.body.replaceChildren());

async function settled(): Promise<void> {
  for (let i = 0; i < 20; ++i) await frame();
}

describe('a growing text', () => {
  test('leaves finished blocks alone', async () => {
    const { root, renderer } = make();
    renderer.update('First paragraph.\n\nSecond', false);
    await settled();
    const first = root.firstElementChild;
    renderer.update('First paragraph.\n\nSecond one.\n\nThird', false);
    await settled();
    expect(root.firstElementChild).toBe(first);
    expect(root.children.length).toBe(3);
  });

  test('leaves finished items of a list alone', async () => {
    const { root, renderer } = make();
    renderer.update('1. one\n2. two\n3. thr', false);
    await settled();
    const first = root.querySelector('li');
    renderer.update('1. one\n2. two\n3. three\n4. four', false);
    await settled();
    expect(root.querySelectorAll('ol').length).toBe(1);
    expect(root.querySelector('li')).toBe(first);
    expect([...root.querySelectorAll('li')].map((item) => item.textContent?.trim())).toEqual(['one', 'two', 'three', 'four']);
  });

  test('code that is still open grows as text in the same element', async () => {
    const { root, renderer } = make();
    renderer.update('```js\nlet a', false);
    await settled();
    const code = root.querySelector('code');
    renderer.update('```js\nlet a = 1;\nlet b', false);
    await settled();
    expect(root.querySelector('code')).toBe(code);
    expect(code?.textContent).toContain('let b');
  });

  test('finished rows of a table are left alone', async () => {
    const { root, renderer } = make();
    renderer.update('| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | 4 |\n| 5', false);
    await settled();
    const first = root.querySelector('tbody tr');
    renderer.update('| a | b |\n|---|--:|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n| 7 | 8 |\n\nEnd.', true);
    await settled();
    expect(root.querySelectorAll('table').length).toBe(1);
    expect(root.querySelector('tbody tr')).toBe(first);
    expect([...root.querySelectorAll('td')].map((cell) => cell.textContent)).toEqual(['1', '2', '3', '4', '5', '6', '7', '8']);
    expect(root.lastElementChild?.textContent).toBe('End.');
  });

  test('another text begins anew', async () => {
    const { root, renderer } = make();
    renderer.update('One.', true);
    await settled();
    renderer.update('Two.', true);
    await settled();
    expect(root.textContent?.trim()).toBe('Two.');
  });

  test('a long text that comes at once is all there', async () => {
    const source = Array.from({ length: 300 }, (_, i) => `Paragraph ${i} with some words in it.`).join('\n\n');
    expect((await whole(source)).children.length).toBe(300);
  });
});

describe('what it becomes', () => {
  test('code has a bar with its language and a button, and all its lines', async () => {
    const lines = Array.from({ length: 100 }, (_, i) => `line ${i};`).join('\n');
    for (const root of [await whole(`\`\`\`js\n${lines}\n\`\`\``), await steps(`\`\`\`js\n${lines}\n\`\`\``, 61)]) {
      expect(root.querySelector('.code-bar span')?.textContent).toBe('js');
      expect(root.querySelector('button.code-copy')).not.toBeNull();
      expect(root.querySelector('code')?.textContent?.trimEnd()).toBe(lines);
      expect(root.querySelectorAll('.code-lines').length).toBe(7);
    }
  });

  test('a picture is named, not fetched', async () => {
    const root = await whole('![an owl](https://example.org/owl.png)');
    expect(root.querySelector('img')).toBeNull();
    expect(root.querySelector('a')?.textContent).toContain('an owl');
  });

  test('cells are aligned by class', async () => {
    const root = await whole('| a |\n|--:|\n| 1 |');
    expect(root.querySelector('td')?.className).toBe('align-right');
    expect(root.querySelector('[style]')).toBeNull();
  });
});

/** Nothing in there that runs or fetches. */
function expectInert(root: Element): void {
  for (const element of root.querySelectorAll('*')) {
    expect(INERT_ELEMENTS).toContain(element.localName);
    for (const { name, value } of element.attributes) {
      expect(INERT_ATTRIBUTES).toContain(name);
      if (name === 'href') expect(value).toMatch(/^(https?:|mailto:)/i);
    }
  }
}

describe('hostile text is inert, even as Markdown alone', () => {
  test.each(XSS_CORPUS)('%s', async (source) => {
    expectInert(await whole(source));
    expectInert(await steps(source, 5));
    expect((globalThis as { xss?: unknown }).xss).toBeUndefined();
  });

  test('all of it in one text', async () => {
    expectInert(await whole(XSS_CORPUS.join('\n\n')));
  });
});
