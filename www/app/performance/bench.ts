// SPDX-License-Identifier: Apache-2.0
// The same work on every engine of this machine, one after the other.

import { LaminaError, type Engine, type EngineKind, type EngineOptions, type MemoryUse } from '@lamina/engine';

export interface BenchRow {
  engine: EngineKind;
  device?: string;
  threads?: number;
  loadMs?: number;
  /** From the request to the first text. */
  ttftMs?: number;
  promptTokens?: number;
  promptTokensPerSecond?: number;
  /** After the first text. */
  tokensPerSecond?: number;
  tokens?: number;
  memory?: MemoryUse;
  /** Why there are no numbers. */
  skipped?: string;
}

export interface BenchReport {
  format: 'lamina-bench';
  version: 1;
  /** ISO 8601. */
  time: string;
  build: string;
  model: string;
  machine: { userAgent: string; cores: number; isolated: boolean };
  rows: BenchRow[];
}

export type BenchStep =
  | { engine: EngineKind; what: 'load' | 'warm' }
  | { engine: EngineKind; what: 'round'; round: number };

export interface BenchParts {
  make: (options: EngineOptions) => Promise<Engine>;
  now: () => number;
  onStep: (step: BenchStep) => void;
  onRow: (row: BenchRow) => void;
  signal: AbortSignal;
}

export const TOKENS = 64;
export const ROUNDS = 2;
const PROMPT = 'Once upon a time there was a small owl who lived in an old tree at the edge of a quiet wood. ' +
  'Every evening she flew over the fields and listened to the wind, and every morning she told the other ' +
  'birds what she had heard. One day';

/** A row for each kind; an engine that fails has its reason as its row. Ends early with `signal`. */
export async function compareEngines(
  kinds: readonly EngineKind[], options: EngineOptions, parts: BenchParts,
): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const engine of kinds) {
    if (parts.signal.aborted) break;
    const row = await measureOne(engine, options, parts).catch((thrown: unknown): BenchRow =>
      ({ engine, skipped: LaminaError.from(thrown).message }));
    if (parts.signal.aborted) break;
    rows.push(row);
    parts.onRow(row);
  }
  return rows;
}

async function measureOne(engine: EngineKind, options: EngineOptions, parts: BenchParts): Promise<BenchRow> {
  const { now, signal, onStep } = parts;
  onStep({ engine, what: 'load' });
  const start = now();
  const made = await parts.make({ ...options, engine, signal });
  const loadMs = now() - start;
  try {
    onStep({ engine, what: 'warm' });
    await answer(made, 'Warm up.', 8, parts);
    let best: Awaited<ReturnType<typeof answer>> | undefined;
    for (let round = 1; round <= ROUNDS; ++round) {
      onStep({ engine, what: 'round', round });
      // Another beginning each time: nothing that is cached may be used.
      const measured = await answer(made, `${round} ${PROMPT}`, TOKENS, parts);
      if (!best || measured.tokensPerSecond > best.tokensPerSecond) best = measured;
    }
    const { device, threads, memory } = await made.refreshInfo();
    return { engine, device, threads, memory, loadMs, ...best };
  } finally {
    await made.close();
  }
}

async function answer(engine: Engine, prompt: string, tokens: number, { now, signal }: BenchParts) {
  const start = now();
  let first = 0;
  let last = start;
  let usage = { prompt_tokens: 0, completion_tokens: 0 };
  const stream = await engine.completions.create(
    { prompt, max_tokens: tokens, temperature: 0, stream: true, ignore_eos: true, stream_options: { include_usage: true } },
    { signal },
  );
  for await (const chunk of stream) {
    if (chunk.usage) usage = chunk.usage;
    if (!chunk.choices[0]?.text) continue;
    last = now();
    first ||= last;
  }
  const ttftMs = (first || last) - start;
  const rest = (last - first) / 1000;
  return {
    ttftMs,
    promptTokens: usage.prompt_tokens,
    promptTokensPerSecond: ttftMs > 0 ? usage.prompt_tokens / (ttftMs / 1000) : 0,
    tokensPerSecond: rest > 0 ? (usage.completion_tokens - 1) / rest : 0,
    tokens: usage.completion_tokens,
  };
}

/** For a README or an issue. */
export function markdownTable({ rows, model, machine, time }: BenchReport): string {
  const number = (value: number | undefined, digits = 0): string => (value === undefined ? '' : value.toFixed(digits));
  const megabytes = (memory: MemoryUse | undefined): string =>
    memory ? number((memory.weights + memory.kv + memory.activations) / 2 ** 20) : '';
  const lines = rows.map((row) => (row.skipped !== undefined
    ? `| ${row.engine} | ${cell(row.skipped)} | | | | | |`
    : `| ${row.engine} | ${cell(row.device ?? '')} | ${number(row.loadMs)} | ${number(row.ttftMs)} | ` +
      `${number(row.promptTokensPerSecond)} | ${number(row.tokensPerSecond, 1)} | ${megabytes(row.memory)} |`));
  return [
    '| engine | device | load, ms | first token, ms | prompt, tokens/s | answer, tokens/s | memory, MiB |',
    '|---|---|---|---|---|---|---|',
    ...lines, '', `${model}, ${machine.cores} cores, ${cell(machine.userAgent)}, ${time}`,
  ].join('\n');
}

function cell(text: string): string {
  return text.replace(/[|\n\r]+/g, ' ');
}
