// SPDX-License-Identifier: Apache-2.0
import { t } from '../text/t.ts';
import { dismissToast, toasts } from '../state/toasts.ts';
import { Icon } from './icons.tsx';

/** Always there, so that screen readers hear what comes. */
export function ToastsView() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, kind, action }) => (
        <div class={`toast ${kind}`} key={id}>
          <span>{text}</span>
          {action && (
            <button type="button" class="link-button" onClick={() => (action.run(), dismissToast(id))}>
              {action.label}
            </button>
          )}
          <button
            type="button" class="icon-button small" aria-label={t('app.dismiss')} onClick={() => dismissToast(id)}
          >
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
