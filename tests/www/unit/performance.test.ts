// SPDX-License-Identifier: Apache-2.0
// The comparison's arithmetic and its order, the plot's lines, and that nothing is sent unasked.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Engine, EngineOptions } from '@lamina/engine';
import { settings } from '../../../www/app/state/settings.ts';
import { compareEngines, markdownTable, ROUNDS, TOKENS, type BenchParts, type BenchReport } from '../../../www/app/performance/bench.ts';
import { areaPath, linePath, niceTop } from '../../../www/app/performance/plot_path.ts';
import { offerReport } from '../../../www/app/performance/telemetry.ts';

// An engine of a clock: `ttft` ms to the first text, then one token each `each` ms.
function fakeEngine(clock: { ms: number }, ttft: number, each: number, log: string[]): Engine {
  return {
    completions: {
      create: async (request: { prompt: string; max_tokens: number }) => {
        log.push(request.prompt.slice(0, 6));
        return (async function* () {
          clock.ms += ttft;
          yield { choices: [{ text: 'a' }] };
          for (let i = 1; i < request.max_tokens; ++i) {
            clock.ms += each;
            yield { choices: [{ text: 'b' }] };
          }
          yield { choices: [], usage: { prompt_tokens: 50, completion_tokens: request.max_tokens } };
        })();
      },
    },
    refreshInfo: async () => ({ device: 'd', threads: 2, memory: { weights: 1, kv: 2, activations: 3 } }),
    close: async () => void log.push('close'),
  } as unknown as Engine;
}

describe('comparison', () => {
  const clock = { ms: 0 };
  let log: string[];
  const partsOf = (make: (options: EngineOptions) => Promise<Engine>, stop = new AbortController()): BenchParts =>
    ({ make, now: () => clock.ms, onStep: () => {}, onRow: () => {}, signal: stop.signal });

  beforeEach(() => {
    clock.ms = 0;
    log = [];
  });

  test('rates are of the better round, memory and load of the engine', async () => {
    const make = async () => {
      clock.ms += 400;
      return fakeEngine(clock, 100, 10, log);
    };
    const [row] = await compareEngines(['wasm'], {}, partsOf(make));
    expect(row).toMatchObject({
      engine: 'wasm', loadMs: 400, ttftMs: 100, promptTokensPerSecond: 500, tokensPerSecond: 100, tokens: TOKENS, threads: 2,
    });
    expect(log.filter((line) => line === 'close')).toHaveLength(1);
    expect(new Set(log.filter((line) => /^\d /.test(line))).size).toBe(ROUNDS); // no two begin alike
  });

  test('an engine that fails is a row with its reason, and the next one is measured', async () => {
    const make = async ({ engine }: EngineOptions) => {
      if (engine === 'webgpu') throw new Error('no adapter');
      return fakeEngine(clock, 1, 1, log);
    };
    const rows = await compareEngines(['webgpu', 'wasm'], {}, partsOf(make));
    expect(rows.map((row) => row.skipped ?? 'measured')).toEqual(['no adapter', 'measured']);
  });

  test('an engine is closed when an answer of it fails', async () => {
    const make = async () => {
      const engine = fakeEngine(clock, 1, 1, log);
      engine.completions.create = (async () => { throw new Error('lost'); }) as never;
      return engine;
    };
    const rows = await compareEngines(['wasm'], {}, partsOf(make));
    expect(rows[0]?.skipped).toBe('lost');
    expect(log).toEqual(['close']);
  });

  test('stopped, no row is told', async () => {
    const stop = new AbortController();
    const make = async () => {
      stop.abort();
      throw new Error('cancelled');
    };
    expect(await compareEngines(['webgpu', 'wasm'], {}, partsOf(make, stop))).toEqual([]);
  });
});

const report: BenchReport = {
  format: 'lamina-bench', version: 1, time: '2026-01-01T00:00:00Z', build: 'b', model: 'm',
  machine: { userAgent: 'a|b\nc', cores: 2, isolated: true },
  rows: [
    { engine: 'wasm', device: '2 threads', loadMs: 100, ttftMs: 20, promptTokensPerSecond: 300, tokensPerSecond: 41.26, memory: { weights: 2 ** 20, kv: 0, activations: 0 } },
    { engine: 'daemon', skipped: 'no | daemon' },
  ],
};

test('the table has as many cells in every row, whatever names hold', () => {
  const lines = markdownTable(report).split('\n').filter((line) => line.startsWith('|'));
  expect(new Set(lines.map((line) => line.split('|').length))).toEqual(new Set([9]));
  expect(lines.join()).toContain('| 41.3 | 1 |');
});

describe('what is sent', () => {
  beforeEach(() => {
    settings.telemetry.value = false;
  });

  test('nothing without an address, nothing without the switch', async () => {
    const send = vi.fn(async () => new Response());
    settings.telemetry.value = true;
    expect(await offerReport(report, '', send)).toBe(false);
    settings.telemetry.value = false;
    expect(await offerReport(report, 'https://a.example/', send)).toBe(false);
    expect(send).not.toHaveBeenCalled();
  });

  test('with both: the report, without cookies', async () => {
    const send = vi.fn(async (_url: unknown, _init: unknown) => new Response());
    settings.telemetry.value = true;
    expect(await offerReport(report, 'https://a.example/', send as never)).toBe(true);
    expect(send.mock.calls[0]?.[0]).toBe('https://a.example/');
    expect(send.mock.calls[0]?.[1]).toMatchObject({ method: 'POST', credentials: 'omit', body: JSON.stringify(report) });
  });
});

describe('plot', () => {
  const frame = { width: 110, height: 120, left: 10, top: 10, bottom: 10 };

  test('a round number above the largest', () => {
    expect([0, 0.3, 1, 7, 24, 130, 999].map(niceTop)).toEqual([1, 0.5, 1, 10, 25, 200, 1000]);
  });

  test('the newest value is at the right edge, larger ones are cut off', () => {
    expect(linePath([0, 50, 400], 3, 100, frame)).toBe('M10.0 110.0L60.0 60.0L110.0 10.0');
    expect(linePath([100], 3, 100, frame)).toBe('M110.0 10.0');
    expect(linePath([], 3, 100, frame)).toBe('');
    expect(areaPath([100, 0], 3, 100, frame)).toBe('M60.0 10.0L110.0 110.0L110.0 110.0L60.0 110.0Z');
  });
});
