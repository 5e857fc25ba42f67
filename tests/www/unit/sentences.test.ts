// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { SentenceReader, spoken } from '../../../www/app/chat/sentences.ts';

test('only whole sentences are told, each once', () => {
  const reader = new SentenceReader();
  expect(reader.next('The owl', false)).toBe('');
  expect(reader.next('The owl flew. It was da', false)).toBe('The owl flew.');
  expect(reader.next('The owl flew. It was dark! And', false)).toBe('It was dark!');
  expect(reader.next('The owl flew. It was dark! And then', true)).toBe('And then');
  expect(reader.next('The owl flew. It was dark! And then', true)).toBe('');
});

test('numbers and addresses are no ends', () => {
  expect(new SentenceReader().next('It is 3.14 or so', false)).toBe('');
  expect(new SentenceReader().next('See example.org for', false)).toBe('');
});

test('code that is still open is not read out', () => {
  const reader = new SentenceReader();
  expect(reader.next('Here. \n```js\nlet a = 1. \nlet', false)).toBe('Here.');
  expect(reader.next('Here. \n```js\nlet a = 1. \nlet b;\n```\nDone. ', false)).toBe('code. Done.');
});

test('marks are not spoken', () => {
  expect(spoken('# Title\n\n- **bold** and [link](https://example.org)\n> `x`')).toBe('Title bold and link x');
});

test('an answer that goes on is told from there', () => {
  expect(new SentenceReader(8).next('Before. After. ', false)).toBe('After.');
});
