// SPDX-License-Identifier: Apache-2.0
// createEngine(): which engine, by what reason.

import { DaemonTransport } from './daemon/daemon_transport.ts';
import { Engine } from './engine.ts';
import { LaminaError, throwIfAborted } from './errors.ts';
import type { Transport } from './transport.ts';
import type { EngineKind, EngineOptions } from './types.ts';

/**
 * Makes an engine that can answer. Nothing is left behind when it throws.
 * Errors: `invalid_argument`, `cancelled`; of the daemon `unauthorized`, `connection_lost`,
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
  const open = (kind: EngineKind) => openTransport(kind, options);
  const transport = await open(wanted === 'auto' ? 'webgpu' : wanted);
  const onNotice = options.onNotice ?? (() => {});
  return new Engine({ transport, plan: null, open, onNotice }, await transport.info());
}

async function openTransport(kind: EngineKind, options: EngineOptions): Promise<Transport> {
  if (kind !== 'daemon') throw new LaminaError('unsupported', `no engine ${kind} in this build`);
  const { model, onProgress, onNotice, signal } = options;
  const address = options.daemon ?? {};
  return DaemonTransport.connect({ address, model: daemonModel(model), onProgress, onNotice, signal });
}

// A daemon knows its models by their folder's name.
function daemonModel(model: string | undefined): string | undefined {
  const path = model?.replace(/\/manifest\.json$/, '').replace(/\/+$/, '');
  return path?.slice(path.lastIndexOf('/') + 1);
}
