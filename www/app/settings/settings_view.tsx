// SPDX-License-Identifier: Apache-2.0
// What can be chosen, in groups.

import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import type { Signal } from '@preact/signals';
import { settings } from '../state/settings.ts';
import { t, type TextName } from '../text/t.ts';
import { ConversationsSettings } from './conversations_settings.tsx';
import { EngineSettings } from './engine_settings.tsx';
import { SamplingFields } from './sampling_fields.tsx';

export function SettingsGroup({ title, children }: { title: TextName; children: ComponentChildren }) {
  const id = useId();
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{t(title)}</h2>
      {children}
    </section>
  );
}

interface ChoiceProps<T extends string> {
  legend: TextName;
  value: Signal<T>;
  options: readonly { value: T; label: TextName }[];
  onChange?: (value: T) => void;
}

export function Choice<T extends string>({ legend, value, options, onChange }: ChoiceProps<T>) {
  const name = useId();
  const choose = (chosen: T) => {
    value.value = chosen;
    onChange?.(chosen);
  };
  return (
    <fieldset class="field">
      <legend class="field-name">{t(legend)}</legend>
      <div class="choices">
        {options.map((option) => (
          <label class="choice" key={option.value}>
            <input type="radio" name={name} checked={value.value === option.value} onChange={() => choose(option.value)} />
            <span>{t(option.label)}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

export function SettingsView() {
  return (
    <div class="settings">
      <h1>{t('nav.settings')}</h1>
      <p class="hint">{t('settings.intro')}</p>
      <SettingsGroup title="settings.look">
        <Choice
          legend="settings.theme" value={settings.theme}
          options={[{ value: 'system', label: 'settings.themeSystem' }, { value: 'light', label: 'settings.themeLight' }, { value: 'dark', label: 'settings.themeDark' }]}
        />
      </SettingsGroup>
      <EngineSettings />
      <SettingsGroup title="settings.answers">
        <label class="field">
          <span class="field-name">{t('chat.systemPrompt')}</span>
          <textarea
            rows={3} value={settings.systemPrompt.value} onInput={(event) => (settings.systemPrompt.value = event.currentTarget.value)}
          />
          <small>{t('settings.systemHint')}</small>
        </label>
        <SamplingFields />
      </SettingsGroup>
      <ConversationsSettings />
    </div>
  );
}
