// SPDX-License-Identifier: Apache-2.0
// What each kind of operation of a token takes, where the engine tells it.

import { useState } from 'preact/hooks';
import type { OpTime } from '@lamina/engine';
import { answering } from '../state/answering.ts';
import { currentEngine, engineState } from '../state/engine.ts';
import { formatBytes, formatNumber, formatPercent, t } from '../text/t.ts';

type Found = { times: OpTime[] } | { none: string } | { error: string } | null;

export function OpsPanel() {
  const [found, setFound] = useState<Found>(null);
  const [busy, setBusy] = useState(false);
  const { info, status } = engineState.value;
  const measure = async () => {
    const engine = currentEngine();
    if (!engine) return setFound({ error: t('perf.opsNoModel') });
    setBusy(true);
    try {
      const times = await engine.opTimes();
      setFound(times ? { times } : { none: t(`engine.${engine.info.engine}`) });
    } catch (thrown) {
      setFound({ error: thrown instanceof Error ? thrown.message : String(thrown) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="ops">
      <p class="hint">{t('perf.opsHint')}</p>
      <div class="card-buttons">
        <button
          type="button" class="button" onClick={() => void measure()}
          disabled={busy || status !== 'ready' || answering.value !== null}
        >
          {t(busy ? 'perf.opsMeasuring' : 'perf.opsMeasure')}
        </button>
        {!info && <span class="hint">{t('perf.opsNoModel')}</span>}
      </div>
      {found && 'times' in found && <OpsTable times={found.times} />}
      {found && 'none' in found && <p role="status">{t('perf.opsNone', { engine: found.none })}</p>}
      {found && 'error' in found && <p class="card-error" role="alert">{found.error}</p>}
    </div>
  );
}

function OpsTable({ times }: { times: readonly OpTime[] }) {
  const sumOf = ({ count, microseconds }: OpTime) => count * microseconds;
  const all = times.reduce((sum, time) => sum + sumOf(time), 0);
  const sorted = [...times].sort((a, b) => sumOf(b) - sumOf(a));
  const micro = (value: number) => t('perf.micro', { count: formatNumber(value, value < 10 ? 1 : 0) });
  return (
    <div class="table-scroll" role="region" aria-label={t('perf.ops')} tabIndex={0}>
      <table class="numbers-table">
        <thead>
          <tr>
            <th scope="col">{t('perf.op')}</th><th scope="col">{t('perf.opCount')}</th><th scope="col">{t('perf.opTime')}</th>
            <th scope="col">{t('perf.opSum')}</th><th scope="col">{t('perf.opShare')}</th><th scope="col">{t('perf.opRate')}</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((time) => (
            <tr key={`${time.label} ${time.bytes}`}>
              <th scope="row">{time.label}</th>
              <td>{time.count}</td>
              <td>{micro(time.microseconds)}</td>
              <td>{micro(sumOf(time))}</td>
              <td>
                <span class="share" style={{ '--part': all > 0 ? sumOf(time) / all : 0 }}>{formatPercent(all > 0 ? sumOf(time) / all : 0)}</span>
              </td>
              <td>{time.bytes > 0 ? formatBytes(time.bytes) : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
