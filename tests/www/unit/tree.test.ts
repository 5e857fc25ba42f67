// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import type { Message } from '../../../www/app/state/db.ts';
import { newestLeaf, pathTo, siblings } from '../../../www/app/state/tree.ts';

let time = 0;
const message = (id: string, parent: string | null, role: 'user' | 'assistant'): Message =>
  ({ id, conversation: 'c', parent, role, content: id, created: ++time });

const ALL = [
  message('q1', null, 'user'), message('a1', 'q1', 'assistant'), message('q2', 'a1', 'user'),
  message('a2', 'q2', 'assistant'), message('a1b', 'q1', 'assistant'), message('q1b', null, 'user'),
];
const MAP = new Map(ALL.map((one) => [one.id, one]));

test('a branch is read from its leaf', () => {
  expect(pathTo(MAP, 'a2').map(({ id }) => id)).toEqual(['q1', 'a1', 'q2', 'a2']);
  expect(pathTo(MAP, null)).toEqual([]);
  expect(pathTo(MAP, 'nobody')).toEqual([]);
});

test('versions are found beside each other', () => {
  expect(siblings(MAP, MAP.get('a1') as Message).map(({ id }) => id)).toEqual(['a1', 'a1b']);
  expect(siblings(MAP, MAP.get('q1') as Message).map(({ id }) => id)).toEqual(['q1', 'q1b']);
});

test('a branch opens at its newest end', () => {
  expect(newestLeaf(MAP, 'a1')).toBe('a2');
  expect(newestLeaf(MAP, 'q1')).toBe('a1b');
});

test('a ring of parents ends', () => {
  const ring = new Map([['x', { ...message('x', 'y', 'user') }], ['y', { ...message('y', 'x', 'user') }]]);
  expect(pathTo(ring, 'x').length).toBe(2);
  expect(['x', 'y']).toContain(newestLeaf(ring, 'x'));
});
