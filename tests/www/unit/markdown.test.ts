// SPDX-License-Identifier: Apache-2.0
// Blocks as they grow, and hostile text before anything sanitizes it: DOMPurify wants a browser's DOM,
// so it is left out here; with it, the same corpus is put on the page in e2e/chat_xss.test.ts.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MarkdownRenderer } from '../../../www/app/markdown/render.ts';
import { XSS_CORPUS } from './xss_corpus.ts';

vi.mock('../../../www/app/markdown/sanitize.ts', () => ({
  sanitize: (html: string) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    return template.content;
  },
}));

const frame = () => new Promise((done) => requestAnimationFrame(done));

async function settled(): Promise<void> {
  for (let i = 0; i < 40; ++i) await frame();
}

function make(): { root: HTMLElement; renderer: MarkdownRenderer } {
  const root = document.createElement('div');
  document.body.append(root);
  return { root, renderer: new MarkdownRenderer(root) };
}

async function whole(source: string): Promise<HTMLElement> {
  const { root, renderer } = make();
  renderer.update(source, true);
  await settled();
  return root;
}

// As tokens come: `step` characters a frame.
async function grown(source: string, step: number): Promise<HTMLElement> {
  const { root, renderer } = make();
  for (let at = step; at < source.length; at += step) {
    renderer.update(source.slice(0, at), false);
    await frame();
  }
  renderer.update(source, true);
  await settled();
  return root;
}

// But for space between blocks; and an item that was done before a blank line came stays without <p>.
const shape = (root: HTMLElement) => root.innerHTML.replace(/>\s+</g, '><').replace(/<li><p>(.*?)<\/p>/gs, '<li>$1');

afterEach(() => document.body.replaceChildren());

const TEXT = `# Title

A paragraph with **bold**, *soft* and \`code\`.
Its second line.

- one
- two
  - inner
- three

1. first
2. second

   with a paragraph
3. third

> quoted

| a | b |
|:--|--:|
| 1 | 2 |

\`\`\`js
const x = 1;
\`\`\`

---

The [end](https://example.org).`;

describe('a growing text', () => {
  test.each([1, 3, 7, 40])('by %i characters ends as the whole does', async (step) => {
    const wanted = await whole(TEXT);
    const got = await grown(TEXT, step);
    expect(shape(got)).toBe(shape(wanted));
  });

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

  test.each([9, 50, 400])('a long paragraph is the same in pieces, by %i characters', async (step) => {
    const text = Array.from({ length: 60 }, (_, i) => `Sentence ${i} has *soft* and **bold** words, \`code\` too. ${i}. It goes on.`).join(' ');
    const root = await grown(`${text}\n\nEnd.`, step);
    expect(root.querySelectorAll('p').length).toBe(2);
    expect(root.querySelectorAll('li').length).toBe(0);
    expect(root.querySelectorAll('strong').length).toBe(60);
    expect(root.querySelectorAll('code').length).toBe(60);
    expect(root.firstElementChild?.textContent).toBe(text.replace(/[*\`]/g, ''));
  });

  test.each([7, 90])('long lists and tables are the same in pieces, by %i characters', async (step) => {
    const source = `${Array.from({ length: 40 }, (_, i) => `${i + 3}. item *${i}*`).join('\n')}\n\nThen:\n\n| a | b |\n|---|:-:|\n${
      Array.from({ length: 40 }, (_, i) => `| ${i} | **x** |`).join('\n')}\n\nEnd.`;
    expect(shape(await grown(source, step))).toBe(shape(await whole(source)));
    const root = await grown(source, step);
    expect(root.querySelector('ol')?.getAttribute('start')).toBe('3');
    expect(root.querySelectorAll('li').length).toBe(40);
    expect(root.querySelectorAll('tbody tr').length).toBe(40);
  });

  test('what looked like an item and became a line is a line', async () => {
    const wanted = await whole('- a\n---\nafter');
    expect(shape(await grown('- a\n---\nafter', 1))).toBe(shape(wanted));
  });

  test('another text begins anew', async () => {
    const { root, renderer } = make();
    renderer.update('One.', true);
    await settled();
    renderer.update('Two.', true);
    await settled();
    expect(root.textContent?.trim()).toBe('Two.');
  });

  test('references that are defined later are resolved at the end', async () => {
    const root = await grown('See [this][r].\n\nMore.\n\n[r]: https://example.org', 4);
    expect(root.querySelector('a')?.getAttribute('href')).toBe('https://example.org');
  });

  test('a long text that comes at once is all there', async () => {
    const source = Array.from({ length: 300 }, (_, i) => `Paragraph ${i} with some words in it.`).join('\n\n');
    expect((await whole(source)).children.length).toBe(300);
  });
});

describe('what it becomes', () => {
  test('code has a bar with its language and a button, and all its lines', async () => {
    const lines = Array.from({ length: 100 }, (_, i) => `line ${i};`).join('\n');
    for (const root of [await whole(`\`\`\`js\n${lines}\n\`\`\``), await grown(`\`\`\`js\n${lines}\n\`\`\``, 61)]) {
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

const ELEMENTS = new Set([
  'a', 'blockquote', 'br', 'button', 'code', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's',
  'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
]);
const ATTRIBUTES = new Set(['href', 'title', 'class', 'start', 'tabindex', 'target', 'rel', 'role', 'aria-label', 'type']);

/** Nothing in there that runs or fetches. */
export function expectInert(root: Element): void {
  for (const element of root.querySelectorAll('*')) {
    expect(ELEMENTS).toContain(element.localName);
    for (const { name, value } of element.attributes) {
      expect(ATTRIBUTES).toContain(name);
      if (name === 'href') expect(value).toMatch(/^(https?:|mailto:)/i);
    }
  }
}

describe('hostile text is inert, even as Markdown alone', () => {
  test.each(XSS_CORPUS)('%s', async (source) => {
    expectInert(await whole(source));
    expectInert(await grown(source, 5));
    expect((globalThis as { xss?: unknown }).xss).toBeUndefined();
  });

  test('all of it in one text', async () => {
    expectInert(await whole(XSS_CORPUS.join('\n\n')));
  });
});
