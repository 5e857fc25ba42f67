// SPDX-License-Identifier: Apache-2.0
// However a text comes, it ends as if it had come at once; and that is what markdown-it makes of it.
import MarkdownIt from 'markdown-it';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { t } from '../../../www/app/text/t.ts';
import { drawn, frame, grown, make, randomOf, whole } from './drawing.ts';

vi.mock('../../../www/app/markdown/sanitize.ts', () => ({
  sanitize: (html: string) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    return template.content;
  },
}));

afterEach(() => document.body.replaceChildren());

const times = (count: number, make: (i: number) => string, between = '\n') => Array.from({ length: count }, (_, i) => make(i)).join(between);

const CORPUS: Readonly<Record<string, string>> = {
  'a bit of all': `# Title\n\nA paragraph with **bold**, *soft*, ~~gone~~ and \`code\`.\nIts second line.\n\n- one\n- two\n  - inner\n- three\n\n1. first\n2. second\n\n   with a paragraph\n3. third\n\n> quoted\n> - in a list\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n\n\`\`\`js\nconst x = 1;\n\`\`\`\n\n---\n\nThe [end](https://example.org).`,
  'emphasis across a long paragraph': `It *begins here ${times(60, (i) => `with sentence ${i}.`, ' ')} and ends* there, **then ${times(60, (i) => `number ${i}.`, ' ')} bold ends** and \`code\`.`,
  'emphasis that never closes': `It *begins here and ** there ${times(80, (i) => `with sentence ${i} of _some words_.`, ' ')}`,
  'a link across lines': `See [the ${times(40, (i) => `very long name ${i}`, '\n')}](https://example.org/a "title") there.`,
  'a long paragraph that becomes a title': `${times(80, (i) => `Sentence ${i} is *here*.`, ' ')}\n---\nAfter.`,
  'a paragraph before a table': `${times(60, (i) => `Sentence ${i}.`, ' ')}\na | b\n--|--\n1 | 2`,
  'almost a table': 'x\na | b\n--|-- no\nmore\n\nend',
  'a tight list': times(40, (i) => `- item *${i}*\n  of two lines`),
  'a loose list': times(40, (i) => `- item *${i}*`, '\n\n'),
  'a list that turns loose late': `${times(30, (i) => `1. item ${i}`)}\n\n1. the last`,
  'a list with an item that is loose': `${times(9, (i) => `- item ${i}`)}\n- item\n\n  of two paragraphs\n${times(9, (i) => `- item ${i}`)}`,
  'tight in loose, loose in tight': '- a\n  - b\n  - c\n\n- d\n\n  1. e\n\n  2. f\n\nend\n\n* g\n  * h\n\n  * i\n* j',
  'numbers that look like text at first': '1. one\n\n2. two\n\n3\n\n12. three\n\n13',
  'what looked like an item': '- a\n- b\n\n---\nafter\n* c\n**bold**\n- d\n-not an item',
  'text that goes on in an item': '- a\nlazy *words\n- b* and\nmore\n    - deep\n\n      deeper\n\nend',
  'a table with odd rows': `| a | b |\n|---|:-:|\n${times(30, (i) => `| ${i} | **x** \\| \`y\` |`)}\n| short\n# title\n| no | row |`,
  'code of all kinds': `    indented\n\n    code\n\ntext\n\n\`\`\`\nplain\n\`\`\`\n\n~~~~py\n${times(40, (i) => `line_${i} = "\`\`\`"`)}\n~~~~\n\n- in an item:\n\n  \`\`\`js\n  let a;\n\n  let b;\n  \`\`\`\n- after\n\n\`\`\`js\nnever closed`,
  'quotes': '> a\nlazy\n> b\n\n> another\n>> inner\n> ```\n> code\n\nend',
  'references': 'See [this][r] and [r] and ![p][r].\n\n- [that][R]\n\n[r]: https://example.org\n"title"\n\n[r]: https://example.org/second',
  'breaks and spaces': 'one  \ntwo\\\nthree\n   four\n\n\n\n  five &amp; six &lt;b&gt; <b>no html</b> \\*no\\* https://example.org/a_b_c end',
  'lines that end otherwise': '# a\r\n\r\nb\rc\r\n\r\n- d\r\n- e',
  'no sense at all': times(60, (i) => ['*', '_a_', '[', '](', '`', '``', '~~', '**b', '> ', '- ', '1) ', '|', '\n', '\n\n', '    ', '#', '---', '&', '<a', ')'][(i * i * 7 + i * 3) % 20] ?? '', ''),
  'no text': '',
};

// Without what the page adds: bars on code, its lines, frames of tables, classes; `<p>` in tight lists.
function plainOf(root: HTMLElement): string {
  const copy = root.cloneNode(true) as HTMLElement;
  for (const bar of copy.querySelectorAll('.code-bar')) bar.remove();
  for (const frame of copy.querySelectorAll('.code, .table, .code-lines, .tight > li > p')) frame.replaceWith(...frame.childNodes);
  for (const element of copy.querySelectorAll('*')) {
    for (const { name } of [...element.attributes]) if (!['href', 'title', 'start'].includes(name)) element.removeAttribute(name);
  }
  copy.normalize();
  return withoutSpace(copy.innerHTML);
}

const withoutSpace = (html: string) => html.replace(/\s*(<[^>]*>)\s*/g, '$1').trim();

function byMarkdownIt(source: string): string {
  const md = new MarkdownIt({ html: false, linkify: true, breaks: true });
  md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
  const root = document.createElement('div');
  root.innerHTML = md.render(source);
  for (const image of root.querySelectorAll('img')) {
    const link = document.createElement('a');
    link.href = image.getAttribute('src') ?? '';
    link.textContent = t('markdown.imageLink', { alt: image.getAttribute('alt') ?? '' });
    image.replaceWith(link);
  }
  return plainOf(root);
}

describe.each(Object.entries(CORPUS))('%s', (_name, source) => {
  test('at once is what markdown-it makes of it', async () => {
    expect(plainOf(await whole(source))).toBe(byMarkdownIt(source));
  });

  test.each([1, 2, 3, 4, 5])('in random steps ends as the whole does (%i)', async (seed) => {
    const random = randomOf(seed);
    const most = [2, 6, 20, 80, 400][seed - 1] ?? 1;
    const root = await grown(source, () => 1 + Math.floor(random() * most));
    expect(root.innerHTML).toBe((await whole(source)).innerHTML);
  });
});

test('all of it, one after the other', async () => {
  const source = Object.values(CORPUS).filter((text) => !text.includes('never closed')).join('\n\n');
  const random = randomOf(7);
  const root = await grown(source, () => 1 + Math.floor(random() * 30));
  expect(root.innerHTML).toBe((await whole(source)).innerHTML);
});

test('text that comes while some is being drawn is drawn too', async () => {
  const { root, renderer } = make();
  const source = times(200, (i) => `Paragraph *${i}*.`, '\n\n');
  for (let at = 0; at < source.length; at += 700) {
    renderer.update(source.slice(0, at), false);
    renderer.update(source.slice(0, at + 300), false);
    if (at % 1400 === 0) await frame();
  }
  renderer.update(source, true);
  expect((await drawn(root)).innerHTML).toBe((await whole(source)).innerHTML);
});
