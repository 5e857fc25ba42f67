// SPDX-License-Identifier: Apache-2.0
// The one face of the three engines towards the package: an answer is asked for in plain numbers
// and comes as events.

import type { FinishReason, TokenLogprob } from '../abi/types.ts';
import type { EngineInfo, EngineKind, OpTime } from './types.ts';

export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

/**
 * What is answered: messages by the chat template, text as it stands, or tokens. `begun` is how the
 * answer to the messages begins already: only what follows is told.
 */
export type Prompt =
  | { kind: 'messages'; messages: Message[]; begun?: string }
  | { kind: 'text'; text: string }
  | { kind: 'ids'; ids: number[] };

/** Names and ranges of lamina.v1's sampling; absent: the engine's default. */
export interface Sampling {
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  repeat_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  repeat_last_n?: number;
  logit_bias?: Record<string, number>;
}

export interface GenerateRequest {
  prompt: Prompt;
  sampling: Sampling;
  stop: string[];
  seed: number;
  /** Absent: until something else ends it. */
  maxTokens?: number;
  ignoreEos: boolean;
  /** Each token's logprob, with so many of the likeliest; absent: none. */
  topLogprobs?: number;
  /** The answer was begun elsewhere: only its rest is told. */
  begun?: Begun;
}

export interface Begun {
  promptIds: number[];
  /** Of the answer, whose text was told already but for `held`. */
  tokens: number[];
  held: string;
}

/** Why an answer ended. */
export type Finish = Exclude<FinishReason, 'none'>;

export interface Usage {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
}

/**
 * `started` comes once, `done` last; a failure is thrown in place of `done`. A `token` event may
 * have several tokens, and text of whole code points, perhaps none.
 */
export type GenerationEvent =
  | { kind: 'started'; promptTokens: number; cachedTokens: number }
  | { kind: 'token'; text: string; tokens: number[]; logprobs?: TokenLogprob[] }
  | { kind: 'notice'; text: string }
  | { kind: 'done'; finish: Finish; usage: Usage };

/** May be asked for several answers at once. */
export interface Transport {
  readonly kind: EngineKind;
  /** Where it can move by itself, with running answers going on: its `kind` changes. */
  switchTo?(kind: EngineKind, signal?: AbortSignal): Promise<void>;
  info(): Promise<EngineInfo>;
  /**
   * Ending the iteration early cancels. When `signal` fires, the answer ends with `done` and
   * finish `cancelled` within one step.
   */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;
  /** The tokens of a prompt, as this engine would feed them; null where it keeps them to itself. */
  encode(prompt: Prompt): Promise<number[] | null>;
  /** What each kind of op takes; null where the device has no clock. Absent: nobody can tell. */
  opTimes?(): Promise<OpTime[] | null>;
  close(): Promise<void>;
}
