// SPDX-License-Identifier: Apache-2.0
// The daemon as one of the three engines.

import { LaminaError, throwIfAborted } from '../errors.ts';
import { StopSeam } from '../stop_seam.ts';
import type {
  Begun, Finish, GenerateRequest, GenerationEvent, Prompt, Transport,
} from '../transport.ts';
import type { DaemonAddress, EngineInfo, MemoryUse, Notice, Progress } from '../types.ts';
import type { GenerateMessage, HelloFrame, ModelEntry, RequestFrame, StatusFrame } from './frames.ts';
import { DaemonLink } from './link.ts';
import { daemonUrl } from './socket.ts';

export interface DaemonOptions {
  address: DaemonAddress;
  /** One of the daemon's; default: its default one. */
  model?: string | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  onNotice?: ((notice: Notice) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const STATUS_MS = 5000;

export class DaemonTransport implements Transport {
  readonly kind = 'daemon';
  private readonly link: DaemonLink;
  private readonly options: DaemonOptions;
  private model: ModelEntry | undefined;
  private heardStatus: ((status: StatusFrame) => void) | undefined;

  private constructor(options: DaemonOptions) {
    this.options = options;
    this.link = new DaemonLink({
      address: options.address,
      onNotice: options.onNotice,
      onStatus: (status) => this.heardStatus?.(status),
    });
  }

  /**
   * Connects, and loads the model where the daemon has it but has not loaded it.
   * Errors: `unauthorized`, `connection_lost`, `not_found`, `cancelled`, and what a load ends with.
   */
  static async connect(options: DaemonOptions): Promise<DaemonTransport> {
    const transport = new DaemonTransport(options);
    try {
      options.onProgress?.({ stage: 'connect', loaded: 0, total: 1, rate: 0 });
      await transport.choose(await transport.link.hello(options.signal));
      options.onProgress?.({ stage: 'ready', loaded: 1, total: 1, rate: 0 });
      return transport;
    } catch (thrown) {
      await transport.close();
      throw thrown;
    }
  }

  /** Connects to see what the daemon has. */
  static async models(options: DaemonOptions): Promise<ModelEntry[]> {
    const transport = new DaemonTransport(options);
    try {
      return (await transport.link.hello(options.signal)).models;
    } finally {
      await transport.close();
    }
  }

  async info(): Promise<EngineInfo> {
    const status = await this.status();
    const state = status.models.find((model) => model.name === this.model?.name);
    const memory: MemoryUse = state?.memory ?? { weights: 0, kv: 0, activations: 0 };
    const backend = state?.backend ?? this.model?.backend ?? '';
    const host = daemonUrl(this.options.address).host;
    return {
      engine: 'daemon',
      model: this.model?.name ?? '',
      device: `${backend} (${this.model?.device ?? ''}) at ${host}`,
      reason: this.model?.backend_reason ?? '',
      fallbacks: [],
      contextSize: state?.context ?? this.model?.context ?? 0,
      threads: 0,
      memory,
      hints: [],
    };
  }

  async *generate(
    request: GenerateRequest,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent, void, void> {
    throwIfAborted(signal);
    const begun = request.begun?.tokens.length ?? 0;
    if (request.maxTokens !== undefined && begun >= request.maxTokens) {
      yield* this.atItsLength(request);
      return;
    }
    const { id, frames } = await this.link.request(this.messageOf(request));
    const cancel = () => this.link.cancel(id);
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      yield* request.begun ? overSeam(frames, request.stop, request.begun) : eventsOf(frames);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /** The daemon keeps its tokenizer to itself. */
  async encode(prompt: Prompt): Promise<number[] | null> {
    return prompt.kind === 'ids' ? prompt.ids : null;
  }

  /** One status frame. */
  async status(): Promise<StatusFrame> {
    await this.link.hello();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new LaminaError('connection_lost', 'the daemon does not tell its status'));
      }, STATUS_MS);
      const before = this.heardStatus;
      this.heardStatus = (status) => {
        clearTimeout(timer);
        this.heardStatus = before;
        before?.(status);
        resolve(status);
      };
      this.link.askStatus();
    });
  }

  /** Moves the model, with its running answers, to another of the daemon's backends. */
  async switchBackend(backend: string): Promise<void> {
    const message = { type: 'switch_backend' as const, backend, ...this.modelName() };
    const { frames } = await this.link.request(message);
    for await (const frame of frames) {
      if (frame.type === 'switched' && this.model) this.model.backend = frame.backend;
    }
  }

  close(): Promise<void> {
    return this.link.close();
  }

  private *atItsLength(request: GenerateRequest): Generator<GenerationEvent, void, void> {
    const held = request.begun?.held ?? '';
    if (held !== '') yield { kind: 'token', text: held, tokens: [] };
    const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
    yield { kind: 'done', finish: 'length', usage };
  }

  private modelName(): { model?: string } {
    return this.model ? { model: this.model.name } : {};
  }

  private async choose(welcome: HelloFrame): Promise<void> {
    const name = this.options.model;
    const found = welcome.models.find((m) => (name === undefined ? m.default : m.name === name));
    if (!found) {
      const names = welcome.models.map((m) => m.name).join(', ') || 'none';
      const wanted = name === undefined ? 'a model loaded' : `a model ${name}`;
      throw new LaminaError('not_found', `the daemon does not have ${wanted}; it has: ${names}`);
    }
    this.model = found.loaded ? found : await this.load(found.name);
  }

  private async load(name: string): Promise<ModelEntry> {
    const { frames } = await this.link.request({ type: 'load', model: name }, this.options.signal);
    for await (const frame of frames) {
      if (frame.type === 'loaded') return frame.model;
      if (frame.type !== 'progress') continue;
      const { stage, done, total } = frame;
      this.options.onProgress?.({ stage, loaded: done, total, rate: 0 });
      throwIfAborted(this.options.signal);
    }
    throw new LaminaError('protocol', `the load of ${name} ended without an answer`);
  }

  private messageOf(request: GenerateRequest): Omit<GenerateMessage, 'id'> {
    const message: Omit<GenerateMessage, 'id'> = {
      type: 'generate',
      ...this.modelName(),
      sampling: request.sampling,
      stop: request.stop,
      seed: request.seed,
      ignore_eos: request.ignoreEos,
    };
    const { prompt, begun, maxTokens, topLogprobs } = request;
    if (topLogprobs !== undefined) message.logprobs = topLogprobs;
    if (maxTokens !== undefined) message.max_tokens = maxTokens - (begun?.tokens.length ?? 0);
    if (begun) message.prompt_ids = [...begun.promptIds, ...begun.tokens];
    else if (prompt.kind === 'messages') message.messages = prompt.messages;
    else if (prompt.kind === 'text') message.prompt = prompt.text;
    else message.prompt_ids = prompt.ids;
    if (!begun && prompt.kind === 'messages' && prompt.begun) message.begun = prompt.begun;
    return message;
  }
}

async function* eventsOf(
  frames: AsyncIterable<RequestFrame>,
): AsyncGenerator<GenerationEvent, void, void> {
  for await (const frame of frames) {
    const event = eventOf(frame);
    if (event) yield event;
  }
}

// The daemon does not know what was held back of the answer before it.
async function* overSeam(
  frames: AsyncIterable<RequestFrame>,
  stop: string[],
  begun: Begun,
): AsyncGenerator<GenerationEvent, void, void> {
  const seam = new StopSeam(stop, begun.held);
  let count = 0;
  for await (const event of eventsOf(frames)) {
    if (event.kind === 'token') {
      count += event.tokens.length;
      const { text, stopped } = seam.push(event.text);
      yield { ...event, text };
      if (!stopped) continue;
      const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: count };
      yield { kind: 'done', finish: 'stop', usage };
      return;
    }
    if (event.kind === 'done' && event.finish !== 'stop') {
      const text = seam.flush();
      if (text !== '') yield { kind: 'token', text, tokens: [] };
    }
    yield event;
  }
}

function eventOf(frame: RequestFrame): GenerationEvent | undefined {
  switch (frame.type) {
    case 'started':
      return {
        kind: 'started',
        promptTokens: frame.prompt_tokens,
        cachedTokens: frame.cached_tokens,
      };
    case 'token': {
      const { text, tokens, logprobs } = frame;
      return { kind: 'token', text, tokens, ...(logprobs ? { logprobs } : {}) };
    }
    case 'notice':
      return { kind: 'notice', text: frame.text };
    case 'done':
      return { kind: 'done', finish: frame.finish as Finish, usage: usageOf(frame.usage) };
    default:
      return undefined;
  }
}

function usageOf(usage: Extract<RequestFrame, { type: 'done' }>['usage']) {
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.cached_tokens,
    completionTokens: usage.completion_tokens,
  };
}
