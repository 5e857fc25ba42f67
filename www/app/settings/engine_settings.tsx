// SPDX-License-Identifier: Apache-2.0
// Where answers are computed, and which daemon.

import { useSignal } from '@preact/signals';
import { engineState, reloadEngine } from '../state/engine.ts';
import { place } from '../state/places.ts';
import { settings } from '../state/settings.ts';
import { t } from '../text/t.ts';
import { clampTo } from './sampling_fields.tsx';
import { Choice, SettingsGroup } from './settings_view.tsx';

function wholeInto(value: { value: number }, max: number) {
  return (event: { currentTarget: HTMLInputElement }) => {
    const number = clampTo({ min: 0, max, step: 1 }, event.currentTarget.value);
    if (number !== null) value.value = number;
    event.currentTarget.value = String(value.value);
  };
}

export function EngineSettings() {
  const result = useSignal('');
  const { url, token } = settings.daemon.value;
  const apply = async () => {
    result.value = '';
    try {
      await place({ again: true });
      const engine = await reloadEngine();
      result.value = t('settings.loaded', { engine: t(`engine.${engine.info.engine}`), model: engine.info.model });
    } catch (thrown) {
      result.value = thrown instanceof Error ? thrown.message : String(thrown);
    }
  };
  return (
    <SettingsGroup title="settings.engine">
      <Choice
        legend="engine.switch" value={settings.engine}
        options={[{ value: 'auto', label: 'engine.auto' }, { value: 'webgpu', label: 'engine.webgpu' }, { value: 'wasm', label: 'engine.wasm' }, { value: 'daemon', label: 'engine.daemon' }]}
      />
      <p class="hint">{t('settings.autoHint')}</p>
      <label class="field">
        <span class="field-name">{t('settings.daemonUrl')}</span>
        <input
          type="url" inputMode="url" placeholder="http://127.0.0.1:8484" value={url} autocomplete="off"
          onChange={(event) => (settings.daemon.value = { ...settings.daemon.value, url: event.currentTarget.value.trim() })}
        />
        <small>{t('settings.daemonUrlHint')}</small>
      </label>
      <label class="field">
        <span class="field-name">{t('settings.daemonToken')}</span>
        <input
          type="password" value={token} autocomplete="off"
          onChange={(event) => (settings.daemon.value = { ...settings.daemon.value, token: event.currentTarget.value.trim() })}
        />
        <small>{t('settings.daemonTokenHint')}</small>
      </label>
      <label class="check">
        <input type="checkbox" checked={settings.rememberToken.value} onChange={(event) => (settings.rememberToken.value = event.currentTarget.checked)} />
        <span>{t('settings.rememberToken')}<small>{t('settings.rememberTokenHint')}</small></span>
      </label>
      <div class="field inline">
        <label class="field-name" for="context-size">{t('settings.contextSize')}</label>
        <input id="context-size" type="number" min={0} step={128} value={settings.contextSize.value} onChange={wholeInto(settings.contextSize, 1 << 20)} />
        <small>{t('settings.contextSizeHint')}</small>
      </div>
      <div class="field inline">
        <label class="field-name" for="threads">{t('settings.threads')}</label>
        <input id="threads" type="number" min={0} max={64} value={settings.threads.value} onChange={wholeInto(settings.threads, 64)} />
        <small>{t('settings.threadsHint')}</small>
      </div>
      <div class="buttons">
        <button type="button" class="button primary" disabled={engineState.value.status === 'loading'} onClick={() => void apply()}>{t('settings.apply')}</button>
      </div>
      <p class="hint" role="status">{result.value}</p>
    </SettingsGroup>
  );
}
