// SPDX-License-Identifier: Apache-2.0
// createEngine(): which engine, by what reason.

import { DaemonTransport } from './daemon/daemon_transport.ts';
import { Engine } from './engine.ts';
import { LaminaError, throwIfAborted } from './errors.ts';
import { LocalTransport, type LocalSetup } from './local_transport.ts';
import type { Transport } from './transport.ts';
import type { EngineKind, EngineOptions, ModelPlan, Notice } from './types.ts';

/**
 * Makes an engine that can answer. Nothing is left behind when it throws.
 * Errors: `invalid_argument`, `cancelled`, `timeout`; of the daemon `unauthorized`, `connection_lost`,
 * `not_found`; of a model in the browser `integrity`, `invalid_model`, `io`, `resource_exhausted`
 * with the plan's numbers, `unsupported`.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  throwIfAborted(options.signal);
  const wanted = options.engine ?? 'auto';
  if (!['auto', 'webgpu', 'wasm', 'daemon'].includes(wanted)) {
    const what = `'engine' must be auto, webgpu, wasm or daemon, not ${String(wanted)}`;
    throw new LaminaError('invalid_argument', what);
  }
  const { kind, why } = await choose(wanted, options);
  let engine: Engine | undefined;
  const onNotice = (notice: Notice) => {
    if (notice.kind === 'fallback') engine?.refreshInfo().catch(() => {}); // a worker that is gone tells that itself
    options.onNotice?.(notice);
  };
  const open = (next: EngineKind, signal?: AbortSignal) =>
    openTransport(next, { ...options, onNotice, signal, onPlan: undefined, early: false });
  const transport = await openTransport(kind, { ...options, onNotice });
  const plan = transport instanceof LocalTransport ? transport.plan : undefined;
  const info = await transport.info();
  if (why) info.reason = why;
  const loaded = transport instanceof LocalTransport ? transport.loaded : undefined;
  engine = new Engine({ transport, plan: plan ?? null, loaded, open, onNotice }, info);
  return engine;
}

/**
 * What a model would take here, before its weights are downloaded: its manifest and tokenizer are.
 * Errors: as createEngine().
 */
export async function planModel(options: EngineOptions): Promise<ModelPlan> {
  return LocalTransport.planModel(localSetup(options.engine ?? 'auto', options));
}

// Without a model to load here, `auto` is the daemon.
async function choose(
  wanted: 'auto' | EngineKind, options: EngineOptions,
): Promise<{ kind: 'auto' | EngineKind; why?: string }> {
  if (wanted !== 'auto' || options.model !== undefined) return { kind: wanted };
  return { kind: 'daemon', why: 'no model is named for this browser' };
}

// What callers may leave out.
type Given = { [K in keyof EngineOptions]: EngineOptions[K] | undefined };

async function openTransport(kind: 'auto' | EngineKind, options: Given): Promise<Transport> {
  if (kind !== 'daemon') return LocalTransport.open(localSetup(kind, options));
  const { model, onProgress, onNotice, signal } = options;
  const address = options.daemon ?? {};
  return DaemonTransport.connect({ address, model: daemonModel(model), onProgress, onNotice, signal });
}

function localSetup(kind: 'auto' | EngineKind, given: Given): LocalSetup {
  const {
    model, threads, contextSize, memoryBudget, trust, headers, storage, assets, startTimeout, softwareGpu,
  } = given;
  if (model === undefined) {
    throw new LaminaError('invalid_argument', "'model' is needed: the address of a model folder");
  }
  const whole = (name: string, value: number | undefined, least: number) => {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return;
    throw new LaminaError('invalid_argument', `'${name}' must be whole and at least ${least}, not ${value}`);
  };
  whole('threads', threads, 1);
  whole('contextSize', contextSize, 128);
  whole('memoryBudget', memoryBudget, 1);
  whole('startTimeout', startTimeout, 1);
  const engine = kind === 'daemon' ? 'auto' : kind;
  return {
    options: {
      model: manifestUrl(model), engine, softwareGpu: softwareGpu ?? false, threads, contextSize,
      memoryBudget, trust, headers, storage,
    },
    assets: assets === undefined ? undefined : folder(assets),
    onPlan: given.onPlan,
    early: given.early,
    startTimeout,
    onProgress: given.onProgress,
    onNotice: given.onNotice,
    signal: given.signal,
  };
}

function absolute(address: string, name: string): string {
  try {
    return new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href).href;
  } catch {
    throw new LaminaError('invalid_argument', `'${name}' is not an address: ${address}`);
  }
}

function folder(address: string): string {
  return absolute(address.endsWith('/') ? address : `${address}/`, 'assets');
}

function manifestUrl(model: string): string {
  if (model.startsWith('lamina-import:')) return model;
  const url = absolute(model, 'model');
  return url.endsWith('.json') ? url : `${url.replace(/\/*$/, '')}/manifest.json`;
}

// A daemon knows its models by their folder's name.
function daemonModel(model: string | undefined): string | undefined {
  const path = model?.replace(/\/manifest\.json$/, '').replace(/\/+$/, '');
  return path?.slice(path.lastIndexOf('/') + 1);
}
