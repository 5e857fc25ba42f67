// SPDX-License-Identifier: Apache-2.0
// What lives in the engine's worker: an open model, its answers (answers.ts) and what computes them
// (runners.ts).

import { LaminaModule } from '../../abi/module.ts';
import { ShardStore, type StoredModel } from '../../storage/index.ts';
import type { AsyncQueue } from '../async_queue.ts';
import { LaminaError } from '../errors.ts';
import type { GenerateRequest, GenerationEvent, Prompt } from '../transport.ts';
import type { EngineInfo, ModelPlan, OpTime, Progress } from '../types.ts';
import { promptIds } from './answer_options.ts';
import { Answers } from './answers.ts';
import { moduleFile, threadFile } from './assets.ts';
import type { HostNotice, LocalOptions } from './crossing.ts';
import { requirementOf } from './requirement.ts';
import { Runners, type Opened } from './runners.ts';

const DEFAULT_CONTEXT = 4096;

export class LocalHost {
  readonly #opened: Opened;
  readonly #runners: Runners;
  readonly #answers: Answers;

  private constructor(opened: Opened) {
    this.#opened = opened;
    this.#runners = new Runners(opened);
    this.#answers = new Answers(opened.model, this.#runners);
  }

  /** Gets the manifest and the tokenizer, and starts the module; no weights yet. */
  static async open(
    options: LocalOptions, notices: AsyncQueue<HostNotice>, signal?: AbortSignal,
  ): Promise<LocalHost> {
    const stored = await openStored(options, notices, signal);
    const tokenizer = await stored.file(stored.manifest.tokenizer.file, signal);
    const threadUrl = threadFile();
    const module = await LaminaModule.load(moduleFile, {
      threads: options.threads ?? defaultThreads(), ...(threadUrl ? { threadUrl } : {}),
    });
    for (const text of module.notes) notices.push({ kind: 'hint', text });
    const model = module.openModel(stored.manifestBytes, tokenizer);
    const most = (model.info.config['max_positions'] as number | undefined) ?? DEFAULT_CONTEXT;
    const contextSize = Math.min(options.contextSize ?? DEFAULT_CONTEXT, most);
    return new LocalHost({ options, notices, module, stored, model, contextSize });
  }

  /** What running takes, on the engine that is asked for. */
  async plan(kind: 'webgpu' | 'wasm'): Promise<ModelPlan> {
    const { model, stored, contextSize, options } = this.#opened;
    const missing = await stored.missing();
    const shards = model.shards();
    const downloadBytes = missing.reduce((sum, index) => sum + (shards[index]?.bytes ?? 0), 0);
    const allBytes = shards.reduce((sum, { bytes }) => sum + bytes, 0);
    return {
      model: model.info.name, engine: kind, downloadBytes, storedBytes: allBytes - downloadBytes,
      contextSize, ...requirementOf(model, kind, contextSize, options.memoryBudget),
    };
  }

  /** See Runners.start. */
  start(onProgress: (progress: Progress) => void, signal?: AbortSignal): Promise<void> {
    return this.#runners.start(onProgress, signal);
  }

  /** Resolves when answers may be asked for, while weights still arrive. */
  get usable(): Promise<void> {
    return this.#runners.usable;
  }

  info(): EngineInfo {
    const { model, module, contextSize } = this.#opened;
    const { seat, reason, fallbacks } = this.#runners;
    const { kind, device, memory } = seat.runner;
    return {
      engine: kind, model: model.info.name, device, reason, fallbacks: [...fallbacks], contextSize,
      threads: module.threads, memory, hints: [...module.notes],
    };
  }

  encode(prompt: Prompt): number[] {
    return promptIds(this.#opened.model, prompt);
  }

  /** See Answers.generate. */
  generate(
    request: GenerateRequest, signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    return this.#answers.generate(request, signal);
  }

  /** Between two answers; null where the device has no clock. */
  async opTimes(): Promise<OpTime[] | null> {
    const { seat } = this.#runners;
    try {
      return await this.#answers.between(async () => {
        await this.#runners.allHere(); // before the seat's turn: whoever brings weights may need that
        return seat.alone(() => {
          seat.session?.dispose(); // a pool may have pages for one
          seat.session = undefined;
          return seat.runner.opTimes();
        });
      });
    } catch (thrown) {
      if (LaminaError.from(thrown, 'device').code === 'unsupported') return null;
      throw thrown;
    }
  }

  /** See Runners.switchTo. */
  switchTo(
    kind: 'webgpu' | 'wasm', onProgress: (progress: Progress) => void, signal?: AbortSignal,
  ): Promise<void> {
    return this.#runners.switchTo(kind, onProgress, signal);
  }
}

async function openStored(
  { model, storage, headers, trust }: LocalOptions, notices: AsyncQueue<HostNotice>, signal?: AbortSignal,
): Promise<StoredModel> {
  const store = await ShardStore.open({
    ...storage,
    ...(headers ? { headers } : {}),
    onNotice: ({ kind, file, message }) => notices.push({ kind, text: `${file}: ${message}`, file }),
  });
  const stored = await store.model(model, { ...(signal ? { signal } : {}), ...(trust ? { trust } : {}) });
  if (stored.source === 'store') {
    notices.push({ kind: 'offline', text: `${model} cannot be reached: the stored model is used` });
  }
  return stored;
}

function defaultThreads(): number {
  const all = navigator.hardwareConcurrency ?? 1;
  return Math.min(all, Math.max(2, Math.ceil(all / 2))); // decoding waits for memory, not for cores
}
