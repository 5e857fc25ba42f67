// SPDX-License-Identifier: Apache-2.0
// The performance page.

import { metrics } from '../state/metrics.ts';
import { formatNumber, formatSeconds, t } from '../text/t.ts';
import { BenchPanel } from './bench_panel.tsx';
import { MemoryPanel } from './memory_panel.tsx';
import { OpsPanel } from './ops_panel.tsx';
import { RatePlot } from './plot.tsx';
import { TelemetryPanel } from './telemetry_panel.tsx';
import '../style/models.css';
import '../style/performance.css';

export function PerformanceView() {
  return (
    <div class="page performance-page">
      <header class="page-head">
        <h1>{t('perf.title')}</h1>
        <p class="hint">{t('perf.lead')}</p>
      </header>
      <section class="panel" aria-labelledby="perf-live"><h2 id="perf-live">{t('perf.live')}</h2><Live /></section>
      <section class="panel" aria-labelledby="perf-bench"><h2 id="perf-bench">{t('perf.bench')}</h2><BenchPanel /></section>
      <div class="panels">
        <section class="panel" aria-labelledby="perf-memory"><h2 id="perf-memory">{t('perf.memory')}</h2><MemoryPanel /></section>
        <section class="panel" aria-labelledby="perf-tele"><h2 id="perf-tele">{t('tele.title')}</h2><TelemetryPanel /></section>
        <section class="panel wide" aria-labelledby="perf-ops"><h2 id="perf-ops">{t('perf.ops')}</h2><OpsPanel /></section>
      </div>
    </div>
  );
}

function Live() {
  const samples = metrics.value.filter(({ kind }) => kind === 'sample');
  const answers = metrics.value.filter(({ kind }) => kind === 'answer');
  const last = metrics.value.at(-1);
  if (!last) {
    return <div class="empty"><strong>{t('perf.liveNone')}</strong><p class="hint">{t('perf.liveNoneHint')}</p></div>;
  }
  const best = Math.max(...metrics.value.map(({ tokensPerSecond }) => tokensPerSecond));
  return (
    <>
      <dl class="tiles">
        <div><dt>{t('perf.rate')}</dt><dd>{formatNumber(last.tokensPerSecond, 1)}</dd></div>
        <div><dt>{t('perf.ttft')}</dt><dd>{formatSeconds(last.ttft)}</dd></div>
        <div><dt>{t('perf.best')}</dt><dd>{formatNumber(best, 1)}</dd></div>
        <div><dt>{t('perf.answers')}</dt><dd>{formatNumber(answers.length)}</dd></div>
      </dl>
      <RatePlot samples={samples} />
    </>
  );
}
