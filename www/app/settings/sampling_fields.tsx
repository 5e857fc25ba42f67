// SPDX-License-Identifier: Apache-2.0
// Numbers of the sampler: a slider where a range is felt, a field where a number is known.

import { useId } from 'preact/hooks';
import { DEFAULT_SAMPLING, settings, type Sampling } from '../state/settings.ts';
import { t } from '../text/t.ts';

type NumberName = Exclude<keyof Sampling, 'stop'>;

interface Range {
  name: NumberName;
  min: number;
  max: number;
  step: number;
  slider: boolean;
}

const RANGES: readonly Range[] = [
  { name: 'temperature', min: 0, max: 2, step: 0.05, slider: true },
  { name: 'topP', min: 0, max: 1, step: 0.01, slider: true },
  { name: 'minP', min: 0, max: 1, step: 0.01, slider: true },
  { name: 'repeatPenalty', min: 1, max: 2, step: 0.01, slider: true },
  { name: 'topK', min: 0, max: 1000, step: 1, slider: false },
  { name: 'maxTokens', min: 0, max: 1_000_000, step: 1, slider: false },
  { name: 'seed', min: -1, max: 4_294_967_295, step: 1, slider: false },
];

function set<K extends keyof Sampling>(name: K, value: Sampling[K]): void {
  settings.sampling.value = { ...settings.sampling.value, [name]: value };
}

/** Within its range; whole where it steps by whole ones; null where it is no number. */
export function clampTo({ min, max, step }: Pick<Range, 'min' | 'max' | 'step'>, text: string): number | null {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) return null;
  const within = Math.min(max, Math.max(min, value));
  return Number.isInteger(step) ? Math.round(within) : within;
}

export function SamplingFields() {
  return (
    <div class="sampling">
      {RANGES.map((range) => <NumberField key={range.name} range={range} />)}
      <label class="field">
        <span class="field-name">{t('sampling.stop')}</span>
        <textarea rows={2} value={settings.sampling.value.stop} onInput={(event) => set('stop', event.currentTarget.value)} />
        <small>{t('sampling.stopHint')}</small>
      </label>
      <button type="button" class="button" onClick={() => (settings.sampling.value = DEFAULT_SAMPLING)}>{t('sampling.reset')}</button>
    </div>
  );
}

function NumberField({ range }: { range: Range }) {
  const id = useId();
  const { name, min, max, step, slider } = range;
  const value = settings.sampling.value[name];
  const change = (text: string) => {
    const number = clampTo(range, text);
    if (number !== null) set(name, number);
  };
  return (
    <div class={slider ? 'field with-slider' : 'field inline'}>
      <label class="field-name" for={id}>{t(`sampling.${name}`)}</label>
      {slider && (
        <input
          type="range" min={min} max={max} step={step} value={value} aria-label={t(`sampling.${name}`)} aria-describedby={`${id}-hint`}
          onInput={(event) => change(event.currentTarget.value)}
        />
      )}
      <input
        id={id} type="number" min={min} max={max} step={step} value={value} aria-describedby={`${id}-hint`}
        onChange={(event) => (change(event.currentTarget.value), event.currentTarget.value = String(settings.sampling.value[name]))}
      />
      <small id={`${id}-hint`}>{t(`sampling.${name}Hint`)}</small>
    </div>
  );
}
