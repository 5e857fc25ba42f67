// SPDX-License-Identifier: Apache-2.0
// Memory by kind, as one bar.

import { engineState } from '../state/engine.ts';
import { formatBytes, formatPercent, t } from '../text/t.ts';

const KINDS = ['weights', 'kv', 'activations'] as const;

export function MemoryPanel() {
  const { info, status } = engineState.value;
  if (!info || status !== 'ready') return <p class="hint">{t('perf.memoryNone')}</p>;
  const total = KINDS.reduce((sum, kind) => sum + info.memory[kind], 0);
  if (total === 0) return <p class="hint">{t('perf.memoryNone')}</p>;
  return (
    <div class="memory">
      <p><strong>{t('perf.total', { total: formatBytes(total), engine: t(`engine.${info.engine}`) })}</strong></p>
      <div class="memory-bar" aria-hidden="true">
        {KINDS.map((kind) => <span key={kind} class={`memory-${kind}`} style={{ flexGrow: info.memory[kind] }} />)}
      </div>
      <dl class="memory-kinds">
        {KINDS.map((kind) => (
          <div key={kind}>
            <dt><span class={`swatch memory-${kind}`} aria-hidden="true" /> {t(`perf.${kind}`)}</dt>
            <dd>{formatBytes(info.memory[kind])} <small>{formatPercent(info.memory[kind] / total)}</small></dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
