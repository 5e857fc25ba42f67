// SPDX-License-Identifier: Apache-2.0
// The page's one engine: loaded when it is needed, moved when asked, and what is told about it.

import { signal } from '@preact/signals';
import {
  createEngine, isSoftwareGpu, LaminaError, type Engine, type EngineInfo, type EngineKind, type EngineOptions,
  type ModelPlan, type Notice, type Progress,
} from '@lamina/engine';
import { t } from '../text/t.ts';
import { place } from './places.ts';
import { settings } from './settings.ts';
import { toast } from './toasts.ts';

export interface EngineState {
  status: 'none' | 'loading' | 'ready' | 'failed';
  /** While it loads: it may be asked already, and reads the question as layers arrive. */
  info?: EngineInfo;
  plan?: ModelPlan;
  progress?: Progress;
  error?: LaminaError;
  /** Where a running answer moves to. */
  movingTo?: EngineKind;
  /** Newest last. */
  notices: readonly Notice[];
}

const NONE: EngineState = { status: 'none', notices: [] };

export const engineState = signal<EngineState>(NONE);

let engine: Engine | null = null;
let loading: Promise<Engine> | null = null;
let leaving = new AbortController();

export function currentEngine(): Engine | null {
  return engine;
}

/** The models' folder beside wasm files and worker. */
export const assets = (): string => new URL('assets/engine/', document.baseURI.replace(/#.*$/, '')).href;

function update(change: Partial<EngineState>): void {
  engineState.value = { ...engineState.value, ...change };
}

const capital = (text: string) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

function notice(one: Notice): void {
  update({ notices: [...engineState.value.notices.slice(-19), one] });
  if (one.kind !== 'fallback' && one.kind !== 'hint') toast(capital(one.text)); // these have their places
  if (engine) void engine.refreshInfo().then((info) => update({ info })).catch(() => {});
}

/** What createEngine() takes for the settings as they are. */
export async function engineOptions(): Promise<EngineOptions> {
  const here = await place();
  const chosen = settings.model.value || here.models[0]?.url;
  const { url, token } = settings.daemon.value;
  const daemon = { ...(url ? { url } : {}), ...(token ? { token } : {}) };
  const wanted = settings.engine.value;
  const options: EngineOptions = {
    engine: wanted === 'auto' && here.daemon ? 'daemon' : wanted, daemon, assets: assets(),
  };
  if (chosen) options.model = chosen;
  if (settings.contextSize.value > 0) options.contextSize = settings.contextSize.value;
  if (settings.threads.value > 0) options.threads = settings.threads.value;
  // A daemon's models are asked of it with its token; nobody else gets that.
  if (token && here.daemon && chosen && new URL(chosen).origin === location.origin) {
    options.headers = { Authorization: `Bearer ${token}` };
  }
  if (settings.trustKeys.value.length > 0) options.trust = { pinned: settings.trustKeys.value };
  return options;
}

async function make(signal: AbortSignal): Promise<Engine> {
  const asked = await engineOptions();
  const common = {
    ...asked, early: true, signal, onNotice: notice,
    onProgress: (progress: Progress) => update({ progress }),
    onPlan: (plan: ModelPlan) => update({ plan }),
  };
  try {
    return await createEngine(common);
  } catch (thrown) {
    const error = LaminaError.from(thrown);
    if (asked.engine !== 'daemon') throw error;
    return makeWithoutDaemon(common, error);
  }
}

// A daemon without the chosen model still has its own; a daemon that is away is done without, where
// the engine was left to the page.
async function makeWithoutDaemon(options: EngineOptions, error: LaminaError): Promise<Engine> {
  if (error.code === 'not_found' && options.model) {
    const { model: _, ...rest } = options;
    return createEngine(rest);
  }
  const mayFall = settings.engine.value === 'auto' && options.model !== undefined;
  if (!mayFall || error.code !== 'connection_lost') throw error;
  notice({ kind: 'fallback', text: t('engine.daemonAway', { why: error.message }), cause: error });
  return createEngine({ ...options, engine: 'auto' });
}

const LOADED_BEFORE = 'lamina.loadedBefore';

/** At the start: what was loaded here before needs no click; anything else waits until it is wanted. */
export function loadKnownModel(): void {
  if (localStorage.getItem(LOADED_BEFORE) === null && settings.daemon.value.token === '') return;
  const load = () => void loadEngine().catch(() => {});
  if (typeof requestIdleCallback === 'function') requestIdleCallback(load, { timeout: 1000 });
  else setTimeout(load, 200);
}

/**
 * The engine, as soon as it may be asked; its weights may still be on their way, as the state tells. All who ask
 * while it loads get the same one.
 */
export function loadEngine(): Promise<Engine> {
  if (engine) return Promise.resolve(engine);
  return (loading ??= load().finally(() => {
    loading = null;
  }));
}

async function load(): Promise<Engine> {
  leaving = new AbortController();
  const { signal } = leaving;
  const { notices } = engineState.value;
  engineState.value = { status: 'loading', notices };
  try {
    const made = await make(signal);
    engine = made;
    update({ info: made.info, ...(made.plan ? { plan: made.plan } : {}) });
    void whenLoaded(made, signal);
    return made;
  } catch (thrown) {
    failed(LaminaError.from(thrown));
    throw thrown;
  }
}

async function whenLoaded(made: Engine, left: AbortSignal): Promise<void> {
  try {
    await made.loaded;
    if (left.aborted) return;
    localStorage.setItem(LOADED_BEFORE, made.info.model);
    update({ status: 'ready', info: made.info });
  } catch (thrown) {
    if (left.aborted) return;
    engine = null;
    failed(LaminaError.from(thrown));
    await made.close();
  }
}

function failed(error: LaminaError): void {
  const { info: _, ...rest } = engineState.value;
  engineState.value = { ...rest, status: error.code === 'cancelled' ? 'none' : 'failed', error };
}

/** Moves a running answer too. The choice is kept. Errors: as Engine.switchTo(). */
export async function switchEngine(kind: EngineKind): Promise<void> {
  if (!engine) {
    settings.engine.value = kind;
    await loadEngine();
    return;
  }
  const from = engine.info.engine;
  if (from === kind) return;
  update({ movingTo: kind });
  try {
    await engine.switchTo(kind);
    settings.engine.value = kind;
    update({ info: engine.info });
  } finally {
    const { movingTo: _, ...rest } = engineState.value;
    engineState.value = rest;
  }
}

async function browserEngine(): Promise<EngineKind> {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter && !isSoftwareGpu(adapter.info) ? 'webgpu' : 'wasm';
}

/** A daemon was lost: true when this browser computes instead. The user's choice stays. */
export async function fallBackToBrowser(cause: LaminaError): Promise<boolean> {
  if (!engine || engine.info.engine !== 'daemon') return false;
  const kind = await browserEngine();
  update({ movingTo: kind });
  try {
    await engine.switchTo(kind);
    update({ info: engine.info });
    notice({ kind: 'fallback', text: t('engine.daemonLost', { engine: t(`engine.${kind}`) }), cause });
    return true;
  } catch (thrown) {
    toast(t('engine.noFallback', { why: LaminaError.from(thrown).message }), { kind: 'error', seconds: 15 });
    return false;
  } finally {
    const { movingTo: _, ...rest } = engineState.value;
    engineState.value = rest;
  }
}

/** Ends running answers; the next one loads the engine anew, by the settings of then. */
export async function unloadEngine(): Promise<void> {
  leaving.abort();
  const old = engine;
  engine = null;
  engineState.value = { ...NONE, notices: engineState.value.notices };
  await old?.close();
}

/** As unloadEngine(), and loads at once. */
export async function reloadEngine(): Promise<Engine> {
  await unloadEngine();
  await loading?.catch(() => {});
  return loadEngine();
}
