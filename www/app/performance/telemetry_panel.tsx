// SPDX-License-Identifier: Apache-2.0
// What is sent, where, and the same as a file.

import { saveFile } from '../models/save_file.ts';
import { engineState } from '../state/engine.ts';
import { metrics } from '../state/metrics.ts';
import { settings } from '../state/settings.ts';
import { pageBuild } from '../sw_client.ts';
import { t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';
import { bench } from './bench_state.ts';
import { telemetryAddress } from './telemetry.ts';

/** Numbers alone: no message and no answer is among them. */
function measured(): Blob {
  const { info, plan } = engineState.value;
  const all = {
    format: 'lamina-measured', version: 1, time: new Date().toISOString(), build: pageBuild(), engine: info ?? null,
    plan: plan ?? null, answers: metrics.value.filter(({ kind }) => kind === 'answer'), comparison: bench.value.report ?? null,
  };
  return new Blob([JSON.stringify(all, null, 2)], { type: 'application/json' });
}

export function TelemetryPanel() {
  const address = telemetryAddress();
  return (
    <div class="telemetry">
      <p>{t(address === '' ? 'tele.nothing' : 'tele.off')}</p>
      {address !== '' && (
        <>
          <label class="switch-row">
            <input
              type="checkbox" role="switch" checked={settings.telemetry.value}
              onChange={(event) => (settings.telemetry.value = event.currentTarget.checked)}
            />
            {t('tele.switch', { address })}
          </label>
          <p class="hint">{t('tele.what')}</p>
        </>
      )}
      <div class="card-buttons">
        <button type="button" class="button" onClick={() => saveFile(measured(), 'lamina-measured.json')}>
          <Icon name="download" size={18} /> {t('tele.save')}
        </button>
      </div>
    </div>
  );
}
