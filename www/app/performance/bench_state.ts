// SPDX-License-Identifier: Apache-2.0
// The comparison under way, and the last one's report.

import { signal } from '@preact/signals';
import { createEngine, type EngineKind } from '@lamina/engine';
import { engineOptions, engineState, loadEngine, unloadEngine } from '../state/engine.ts';
import { place } from '../state/places.ts';
import { settings } from '../state/settings.ts';
import { pageBuild } from '../sw_client.ts';
import { t } from '../text/t.ts';
import { compareEngines, type BenchReport, type BenchRow, type BenchStep } from './bench.ts';
import { offerReport } from './telemetry.ts';

export interface BenchState {
  running: boolean;
  step?: BenchStep;
  rows: readonly BenchRow[];
  report?: BenchReport;
  error?: string;
}

export const bench = signal<BenchState>({ running: false, rows: [] });

let stopping = new AbortController();

export function stopBench(): void {
  stopping.abort();
}

/** Sets the loaded engine aside and brings it back. What fails is told in the state. */
export async function runBench(): Promise<void> {
  if (bench.value.running) return;
  stopping = new AbortController();
  const { signal: stop } = stopping;
  bench.value = { running: true, rows: [] };
  const wasReady = engineState.value.status === 'ready';
  try {
    await unloadEngine();
    const options = await engineOptions();
    if (!options.model) throw new Error(t('perf.benchNoModel'));
    const daemon = (await place()).daemon || settings.daemon.value.url !== '';
    const kinds: EngineKind[] = ['webgpu', 'wasm', ...(daemon ? ['daemon' as const] : [])];
    const rows = await compareEngines(kinds, options, {
      make: createEngine, now: () => performance.now(), signal: stop,
      onStep: (step) => (bench.value = { ...bench.value, step }),
      onRow: (row) => (bench.value = { ...bench.value, rows: [...bench.value.rows, row] }),
    });
    if (!daemon && !stop.aborted) rows.push({ engine: 'daemon', skipped: t('perf.noDaemon') });
    bench.value = stop.aborted ? { running: false, rows: [] } : finish(rows, options.model);
  } catch (thrown) {
    bench.value = { running: false, rows: [], error: thrown instanceof Error ? thrown.message : String(thrown) };
  } finally {
    if (wasReady) void loadEngine().catch(() => {}); // its state tells
  }
}

function finish(rows: BenchRow[], model: string): BenchState {
  const report: BenchReport = {
    format: 'lamina-bench', version: 1, time: new Date().toISOString(), build: pageBuild(),
    model: model.replace(/\/manifest\.json$/, '').replace(/\/+$/, '').split('/').at(-1) ?? model,
    machine: {
      userAgent: navigator.userAgent, cores: navigator.hardwareConcurrency, isolated: globalThis.crossOriginIsolated,
    },
    rows,
  };
  void offerReport(report);
  return { running: false, rows, report };
}
