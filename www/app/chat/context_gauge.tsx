// SPDX-License-Identifier: Apache-2.0
// How much of the context the shown branch takes.

import { path } from '../state/conversations.ts';
import type { Message } from '../state/db.ts';
import { engineState } from '../state/engine.ts';
import { liveNumbers } from '../state/live.ts';
import { formatNumber, t } from '../text/t.ts';

const RADIUS = 8;
const ROUND = 2 * Math.PI * RADIUS;

/** Tokens of the branch, as far as its last answer tells. */
export function contextUsed(shown: readonly Message[]): number {
  for (let i = shown.length - 1; i >= 0; --i) {
    const numbers = shown[i]?.numbers;
    if (numbers) return numbers.promptTokens + numbers.tokens;
  }
  return 0;
}

export function ContextGauge() {
  const { info } = engineState.value;
  const all = info?.contextSize ?? 0;
  const now = liveNumbers.value;
  const used = now ? now.promptTokens + now.tokens : contextUsed(path.value);
  if (all === 0 || used === 0) return null;
  const part = Math.min(1, used / all);
  const label = t('chat.context', { used: formatNumber(used), all: formatNumber(all) });
  return (
    <span
      class={part > 0.9 ? 'gauge full' : 'gauge'} role="meter" aria-label={t('chat.contextGauge')} title={label}
      aria-valuemin={0} aria-valuemax={all} aria-valuenow={Math.min(used, all)} aria-valuetext={label}
    >
      <svg width={22} height={22} viewBox="0 0 22 22" aria-hidden="true">
        <circle cx={11} cy={11} r={RADIUS} class="gauge-back" />
        <circle cx={11} cy={11} r={RADIUS} class="gauge-part" stroke-dasharray={`${part * ROUND} ${ROUND}`} />
      </svg>
      <span aria-hidden="true">{formatNumber(used)}<i> / {formatNumber(all)}</i></span>
    </span>
  );
}
