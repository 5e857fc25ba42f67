// SPDX-License-Identifier: Apache-2.0
// What the user chose, kept in localStorage under lamina.NAME. A daemon's token stays in
// sessionStorage, and beyond that only where the user asked for it.

import { effect, signal, type Signal } from '@preact/signals';
import type { EngineKind } from '@lamina/engine';

export type Theme = 'system' | 'light' | 'dark';
export type EngineChoice = 'auto' | EngineKind;

export interface Sampling {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repeatPenalty: number;
  /** Tokens of an answer at most; 0: until the model ends it or the context is full. */
  maxTokens: number;
  /** -1: another one for each answer. */
  seed: number;
  /** One a line. */
  stop: string;
}

export const DEFAULT_SAMPLING: Sampling = {
  temperature: 0.7, topK: 40, topP: 0.95, minP: 0.05, repeatPenalty: 1.05, maxTokens: 0, seed: -1, stop: '',
};

export interface DaemonSettings {
  /** "http://127.0.0.1:8484"; empty: where the page comes from. */
  url: string;
  token: string;
}

const PREFIX = 'lamina.';

function read<T>(storage: Storage, name: string, fallback: T): T {
  try {
    const text = storage.getItem(PREFIX + name);
    if (text === null) return fallback;
    const value: unknown = JSON.parse(text);
    if (typeof value !== typeof fallback || Array.isArray(value) !== Array.isArray(fallback)) return fallback;
    const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
    return (isRecord ? { ...fallback, ...value } : value) as T;
  } catch {
    return fallback; // refused storage, or what another version wrote
  }
}

function write(storage: Storage, name: string, value: unknown): void {
  try {
    storage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // A full or refused storage: the choice lasts as long as the page.
  }
}

function kept<T>(name: string, fallback: T): Signal<T> {
  const value = signal<T>(read(localStorage, name, fallback));
  effect(() => write(localStorage, name, value.value));
  return value;
}

function keptOneOf<T extends string>(name: string, all: readonly T[], fallback: T): Signal<T> {
  const value = kept<T>(name, fallback);
  if (!all.includes(value.value)) value.value = fallback;
  return value;
}

const rememberToken = kept('rememberToken', false);

function keptDaemon(): Signal<DaemonSettings> {
  const { url } = read(localStorage, 'daemon', { url: '' });
  const token = read(sessionStorage, 'token', '') || read(localStorage, 'token', '');
  const daemon = signal<DaemonSettings>({ url, token });
  effect(() => {
    write(localStorage, 'daemon', { url: daemon.value.url });
    write(sessionStorage, 'token', daemon.value.token);
    if (rememberToken.value) write(localStorage, 'token', daemon.value.token);
    else localStorage.removeItem(`${PREFIX}token`);
  });
  return daemon;
}

export const settings = {
  theme: keptOneOf<Theme>('theme', ['system', 'light', 'dark'], 'system'),
  engine: keptOneOf<EngineChoice>('engine', ['auto', 'webgpu', 'wasm', 'daemon'], 'auto'),
  /** URL of a model folder, or a daemon's model; empty: what the page finds first. */
  model: kept('model', ''),
  sampling: kept<Sampling>('sampling', DEFAULT_SAMPLING),
  systemPrompt: kept('systemPrompt', ''),
  daemon: keptDaemon(),
  rememberToken,
  /** Tokens of context; 0: the engine's default. */
  contextSize: kept('contextSize', 0),
  /** Threads of the WebAssembly engine; 0: the engine's default. */
  threads: kept('threads', 0),
  /** Nothing is ever sent unless this is on. */
  telemetry: kept('telemetry', false),
  /** Public keys, "ed25519:…"; empty: hashes are checked, signatures are not needed. */
  trustKeys: kept<string[]>('trustKeys', []),
};

/**
 * `lamina serve` prints an address with #token=…: it goes to this tab's storage and out of the
 * address and the history at once.
 */
export function takeTokenFromAddress(): void {
  const match = /^#?(.*?)(?:^|[&?/])token=([A-Za-z0-9._~-]+)&?(.*)$/.exec(location.hash.slice(1));
  if (!match) return;
  settings.daemon.value = { url: '', token: match[2] ?? '' };
  history.replaceState(null, '', `${location.pathname}${location.search}`);
}
