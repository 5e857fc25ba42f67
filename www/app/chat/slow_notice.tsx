// SPDX-License-Identifier: Apache-2.0
// That answers could be faster, until it is dismissed.

import { signal } from '@preact/signals';
import { slowReason } from '../engine_badge.tsx';
import { engineState } from '../state/engine.ts';
import { t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';

const KEY = 'lamina.slowDismissed'; // for the tab
const dismissed = signal(sessionStorage.getItem(KEY));

function dismiss(why: string): void {
  sessionStorage.setItem(KEY, why);
  dismissed.value = why;
}

/** What to tell: a daemon that was lost, or WebGPU that could not be had. */
function reason(): string | null {
  const { info, notices } = engineState.value;
  const slow = slowReason(info);
  if (slow) return t('engine.slowWhy', { why: slow });
  const fell = info?.engine === 'daemon' ? undefined : notices.findLast(({ kind }) => kind === 'fallback');
  return fell?.text ?? null;
}

export function SlowNotice() {
  const why = reason();
  if (!why || dismissed.value === why) return null;
  return (
    <div class="slow-notice" role="status">
      <Icon name="alert" />
      <p><strong>{t('engine.slow')}.</strong> {why}</p>
      <button type="button" class="icon-button small" aria-label={t('app.dismiss')} onClick={() => dismiss(why)}>
        <Icon name="close" size={16} />
      </button>
    </div>
  );
}
