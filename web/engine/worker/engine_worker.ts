// SPDX-License-Identifier: Apache-2.0
// The entry of the engine's worker.

import { startWorkersBy } from '../../abi/threads.ts';
import { AsyncQueue } from '../async_queue.ts';
import { answered, isSoftware } from '../../webgpu/device.ts';
import { LaminaError } from '../errors.ts';
import type { GenerateRequest, Prompt } from '../transport.ts';
import type { ModelPlan, Progress } from '../types.ts';
import { workersFrom } from './asked_workers.ts';
import { setAssets } from './assets.ts';
import type { HostNotice, LocalOptions } from './crossing.ts';
import { LocalHost } from './host.ts';
import { serve, type Port } from './rpc.ts';

let host: LocalHost | undefined;
// Things to tell, for as long as the worker lives.
const notices = new AsyncQueue<HostNotice>();

function opened(): LocalHost {
  if (!host) throw new LaminaError('closed', 'no model is open in this worker');
  return host;
}

// What a plan is for; whether the GPU is good is known later.
async function plannedKind({ engine, softwareGpu }: LocalOptions): Promise<'webgpu' | 'wasm'> {
  if (engine !== 'auto') return engine;
  const adapter = navigator.gpu && await answered(navigator.gpu.requestAdapter()).catch(() => null);
  return adapter && (softwareGpu || !isSoftware(adapter.info)) ? 'webgpu' : 'wasm';
}

// Progress while `work` goes on; ends with it, or as it fails.
async function* withProgress(
  work: (tell: (progress: Progress) => void) => Promise<void>,
): AsyncGenerator<Progress, void, void> {
  const queue = new AsyncQueue<Progress>();
  work((progress) => queue.push(progress)).then(
    () => queue.end(),
    (thrown) => queue.fail(thrown),
  );
  yield* queue;
}

const handlers = {
  /** A lock that lives as long as this worker tells the page when it is gone. */
  hold: async (name: string): Promise<void> => {
    await new Promise<void>((held) => {
      navigator.locks.request(name, () => {
        held();
        return new Promise(() => {});
      });
    });
  },
  /** What running takes; nothing is downloaded but manifest and tokenizer. */
  open: async (
    { options, assets, helpers }: { options: LocalOptions; assets: string | undefined; helpers: MessagePort },
    signal: AbortSignal,
  ): Promise<ModelPlan> => {
    startWorkersBy(workersFrom(helpers));
    setAssets(assets);
    host = await LocalHost.open(options, notices, signal);
    return host.plan(await plannedKind(options));
  },
  start: async function* (_: null, signal: AbortSignal): AsyncGenerator<Progress, void, void> {
    yield* withProgress((tell) => opened().start(tell, signal));
  },
  /** While `start` goes on: when answers may be asked for. */
  usable: async (_: null) => opened().usable,
  notices: (_: null) => notices,
  info: async (_: null) => opened().info(),
  opTimes: async (_: null) => opened().opTimes(),
  encode: async (prompt: Prompt) => opened().encode(prompt),
  generate: (request: GenerateRequest, signal: AbortSignal) => opened().generate(request, signal),
  switchTo: async function* (
    kind: 'webgpu' | 'wasm', signal: AbortSignal,
  ): AsyncGenerator<Progress, void, void> {
    yield* withProgress((tell) => opened().switchTo(kind, tell, signal));
  },
};

export type WorkerHandlers = typeof handlers;

serve(globalThis as unknown as Port, handlers);
