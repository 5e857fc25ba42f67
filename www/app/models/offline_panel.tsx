// SPDX-License-Identifier: Apache-2.0
// Use without network: whether it is ready, on or off, and the page as an app.

import { installOffer, offlineState, pageBuild, setOfflineUse } from '../sw_client.ts';
import { t } from '../text/t.ts';

export function OfflinePanel() {
  const state = offlineState.value;
  const build = pageBuild();
  return (
    <div class="offline">
      <p class="hint">{t(`offline.${state}`)}</p>
      {state !== 'unsupported' && (
        <label class="switch-row">
          <input
            type="checkbox" role="switch" checked={state !== 'off'}
            onChange={(event) => void setOfflineUse(event.currentTarget.checked)}
          />
          {t('offline.switch')}
        </label>
      )}
      <p class="hint">
        {t(globalThis.crossOriginIsolated ? 'offline.isolated' : 'offline.notIsolated')}{' '}
        {build && t('offline.build', { build })}
      </p>
      {installOffer.value && (
        <button type="button" class="button" onClick={() => void installOffer.value?.()}>{t('offline.install')}</button>
      )}
    </div>
  );
}
