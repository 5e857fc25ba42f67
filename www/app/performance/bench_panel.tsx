// SPDX-License-Identifier: Apache-2.0
// The engines beside each other, on this machine.

import { useState } from 'preact/hooks';
import { saveFile } from '../models/save_file.ts';
import { answering } from '../state/answering.ts';
import { formatBytes, formatNumber, formatSeconds, t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';
import { markdownTable, ROUNDS, TOKENS, type BenchReport, type BenchRow, type BenchStep } from './bench.ts';
import { bench, runBench, stopBench } from './bench_state.ts';

function describeStep(step: BenchStep | undefined): string {
  if (!step) return '';
  const what = step.what === 'round' ? t('perf.benchRound', { round: step.round, rounds: ROUNDS })
    : t(step.what === 'load' ? 'perf.benchLoad' : 'perf.benchWarm');
  return t('perf.benchStep', { engine: t(`engine.${step.engine}`), what });
}

export function BenchPanel() {
  const { running, rows, report, step, error } = bench.value;
  const busy = answering.value !== null;
  return (
    <div class="bench">
      <p class="hint">{t('perf.benchHint', { tokens: TOKENS })}</p>
      <div class="card-buttons">
        {running
          ? <button type="button" class="button" onClick={stopBench}>{t('perf.benchStop')}</button>
          : (
            <button type="button" class="button primary" disabled={busy} onClick={() => void runBench()}>
              {t(report ? 'perf.benchAgain' : 'perf.benchRun')}
            </button>
          )}
        {report && !running && <Exports report={report} />}
        <span class="hint" role="status">{running ? describeStep(step) : busy ? t('perf.benchBusy') : ''}</span>
      </div>
      {running && <progress class="bar" aria-label={t('perf.bench')} />}
      {error && <p class="card-error" role="alert"><Icon name="alert" size={18} /> {error}</p>}
      {rows.length > 0 && <BenchTable rows={rows} />}
    </div>
  );
}

function Exports({ report }: { report: BenchReport }) {
  const [copied, setCopied] = useState(false);
  const save = () => saveFile(new Blob([JSON.stringify(report, null, 2)], { type: 'application/json' }), 'lamina-bench.json');
  const copy = () => void navigator.clipboard.writeText(markdownTable(report)).then(() => setCopied(true));
  return (
    <>
      <button type="button" class="button" onClick={save}><Icon name="download" size={18} /> {t('perf.saveJson')}</button>
      <button type="button" class="button" onClick={copy}>
        <Icon name={copied ? 'check' : 'copy'} size={18} /> {t(copied ? 'perf.copied' : 'perf.copyTable')}
      </button>
    </>
  );
}

function BenchTable({ rows }: { rows: readonly BenchRow[] }) {
  const fastest = Math.max(0, ...rows.map((row) => row.tokensPerSecond ?? 0));
  return (
    <div class="table-scroll" role="region" aria-label={t('perf.bench')} tabIndex={0}>
      <table class="numbers-table">
        <thead>
          <tr>
            <th scope="col">{t('perf.colEngine')}</th><th scope="col">{t('perf.colRate')}</th><th scope="col">{t('perf.colPrompt')}</th>
            <th scope="col">{t('perf.colTtft')}</th><th scope="col">{t('perf.colLoad')}</th><th scope="col">{t('perf.colMemory')}</th>
          </tr>
        </thead>
        <tbody>{rows.map((row) => <BenchLine key={row.engine} row={row} fastest={fastest} />)}</tbody>
      </table>
    </div>
  );
}

function BenchLine({ row, fastest }: { row: BenchRow; fastest: number }) {
  const { engine, device, skipped, tokensPerSecond = 0, promptTokensPerSecond = 0, ttftMs = 0, loadMs = 0, memory } = row;
  const name = <th scope="row">{t(`engine.${engine}`)}{device && <small>{device}</small>}</th>;
  if (skipped !== undefined) return <tr>{name}<td colSpan={5} class="skipped">{t('perf.skipped', { why: skipped })}</td></tr>;
  return (
    <tr>
      {name}
      <td>
        <span class="share" style={{ '--part': fastest > 0 ? tokensPerSecond / fastest : 0 }}>{formatNumber(tokensPerSecond, 1)}</span>
      </td>
      <td>{formatNumber(promptTokensPerSecond)}</td>
      <td>{formatSeconds(ttftMs / 1000)}</td>
      <td>{formatSeconds(loadMs / 1000)}</td>
      <td>{memory && formatBytes(memory.weights + memory.kv + memory.activations)}</td>
    </tr>
  );
}
