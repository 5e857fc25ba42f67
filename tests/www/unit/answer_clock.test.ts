// SPDX-License-Identifier: Apache-2.0
// What the plot is told of an answer, by a clock that stands still until it is moved.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EngineInfo } from '@lamina/engine';
import { AnswerClock } from '../../../www/app/state/answer_clock.ts';
import { metrics } from '../../../www/app/state/metrics.ts';

const info = { engine: 'wasm', device: 'd', model: 'm' } as EngineInfo;
const samples = () => metrics.value.filter(({ kind }) => kind === 'sample');

beforeEach(() => {
  metrics.value = [];
  vi.useFakeTimers({ toFake: ['performance', 'Date'] });
});
afterEach(() => void vi.useRealTimers());

function answerOf(tokens: number, each: number): AnswerClock {
  const clock = new AnswerClock();
  clock.started(10, 0, info);
  for (let i = 0; i < tokens; ++i) {
    vi.advanceTimersByTime(each);
    clock.tokens(1, 'wasm');
  }
  return clock;
}

test('a sample each 250 ms', () => {
  answerOf(11, 100).finish(info);
  expect(samples().map(({ tokensPerSecond }) => tokensPerSecond)).toEqual([10, 10, 10]);
});

test('an answer that is over before the first sample is one', () => {
  answerOf(21, 10).finish(info);
  expect(samples().map(({ tokensPerSecond, tokens }) => [tokensPerSecond, tokens])).toEqual([[100, 21]]);
});

test('one token has no rate', () => {
  const numbers = answerOf(1, 10).finish(info);
  expect(samples()).toEqual([]);
  expect(numbers).toMatchObject({ tokens: 1, firstToken: 0.01, tokensPerSecond: 0 });
});
