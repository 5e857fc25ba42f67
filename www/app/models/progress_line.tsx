// SPDX-License-Identifier: Apache-2.0
// "43 MB of 1.1 GB, 12 MB/s, 2 min left"

import type { LoadState } from '@lamina/engine';
import { formatBytes, formatNumber, t } from '../text/t.ts';

interface Numbers {
  done: number;
  total: number;
  /** Bytes per second. */
  rate: number;
  state?: LoadState | undefined;
}

export function formatDuration(seconds: number): string {
  if (seconds < 90) return t('models.seconds', { count: formatNumber(Math.max(1, Math.ceil(seconds))) });
  if (seconds < 5400) return t('models.minutes', { count: formatNumber(Math.ceil(seconds / 60)) });
  return t('models.hours', { count: formatNumber(seconds / 3600, 1) });
}

export function ProgressLine({ done, total, rate, state }: Numbers) {
  if (state === 'paused') return <p class="progress-line">{t('models.paused')}</p>;
  if (state === 'offline') return <p class="progress-line warn-text">{t('models.offline')}</p>;
  if (state === 'retrying') return <p class="progress-line warn-text">{t('models.retrying')}</p>;
  const parts = [t('models.progress', { done: formatBytes(done), total: formatBytes(total) })];
  if (rate > 0 && done < total) {
    parts.push(t('models.rate', { rate: formatBytes(rate) }));
    parts.push(t('models.left', { time: formatDuration((total - done) / rate) }));
  }
  return <p class="progress-line">{parts.map((part) => <span key={part}>{part}</span>)}</p>;
}
