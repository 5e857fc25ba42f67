// SPDX-License-Identifier: Apache-2.0
// The page's sentences by name. Another language is another table of the same names.

import { en } from './en.ts';

export type TextName = keyof typeof en;

/** `{name}` in the sentence is replaced by `values.name`. */
export function t(name: TextName, values: Readonly<Record<string, string | number>> = {}): string {
  const text: string = en[name];
  return text.replace(/\{(\w+)\}/g, (whole, key: string) => String(values[key] ?? whole));
}

/** The sentence for one, or for `count` of them. */
export function plural(one: TextName, other: TextName, count: number): string {
  return t(new Intl.PluralRules('en').select(count) === 'one' ? one : other, { count });
}

const locale = () => navigator.language;

export function formatBytes(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const value = bytes / 1000 ** step;
  return new Intl.NumberFormat(locale(), {
    style: 'unit', unit: units[step] ?? 'byte', unitDisplay: 'short', maximumFractionDigits: value < 10 && step > 0 ? 1 : 0,
  }).format(value);
}

export function formatNumber(value: number, digits = 0): string {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

export function formatPercent(part: number): string {
  return new Intl.NumberFormat(locale(), { style: 'percent', maximumFractionDigits: 0 }).format(part);
}

/** Seconds, as "420 ms" or "1.3 s". */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) return `${formatNumber(seconds * 1000)} ms`;
  return `${formatNumber(seconds, 1)} s`;
}
