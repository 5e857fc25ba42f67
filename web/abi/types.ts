// SPDX-License-Identifier: Apache-2.0
// What goes in and out of the WebAssembly module.

/** Why an answer ended; `none`: it goes on. */
export type FinishReason = 'none' | 'eos' | 'stop' | 'length' | 'context' | 'cancelled';

export const FINISH_REASONS: readonly FinishReason[] = [
  'none', 'eos', 'stop', 'length', 'context', 'cancelled',
];

/** A token of an answer. */
export interface TokenEvent {
  /** -1: none, text that was held back until the end. */
  token: number;
  /** Whole code points; empty while text is held back. */
  text: string;
  finish: FinishReason;
  /** Where topLogprobs was asked for. */
  logprobs?: TokenLogprob;
}

export interface Logprob {
  token: number;
  /** Natural, of the logits as they were before biases and penalties; at least -9999. */
  logprob: number;
  /** Of `bytes`, which may be a part of a code point. */
  text: string;
  bytes: number[];
}

/** The chosen token's, with the likeliest ones. */
export interface TokenLogprob extends Logprob {
  top: Logprob[];
}

export interface ChatMessage {
  role: string;
  content: string;
}

/** A conversation, a text (with the model's beginning-of-text token added), or token ids. */
export type Prompt = readonly ChatMessage[] | string | ArrayLike<number>;

/** How an answer is chosen; names and defaults as on the command line. */
export interface AnswerOptions {
  temperature?: number; // 0.8; 0 is greedy
  topK?: number; // 40; 0: off
  topP?: number; // 0.95; 1: off
  minP?: number; // 0.05; 0: off
  repeatPenalty?: number; // 1: off
  presencePenalty?: number;
  frequencyPenalty?: number;
  repeatLastN?: number; // 64 tokens; 0: off, -1: all
  /** Added to a token's logit; null bans the token. */
  logitBias?: readonly (readonly [token: number, bias: number | null])[];
  /** 0 to 2^53 - 1. */
  seed?: number;
  stop?: readonly string[];
  /** -1: until something else ends the answer. */
  maxTokens?: number;
  ignoreEos?: boolean;
  /** Each token's logprob with so many of the likeliest, 0 to 20; -1: none. */
  topLogprobs?: number;
}

export interface EngineOptions {
  /** Positions of one sequence; default: the model's own, at most 4096. */
  context?: number;
  /** CPU: 1 to the module's threads; default: all of them. */
  threads?: number;
  /** CPU: how keys and values are stored; default f16. */
  kvDtype?: 'f32' | 'f16' | 'i8';
  /** Sequences of `context` positions that fit together; default 1. */
  sequences?: number;
  /** Rows of a step; default 128. A step of prompt rows is not interrupted. */
  maxRows?: number;
  /** Rows of a step that may want logits; default: one for each sequence. */
  maxLogitRows?: number;
  /** Positions of the cache in all, in place of `sequences` times `context`. */
  cachePositions?: number;
}

export interface FileInfo {
  file: string;
  bytes: number;
  /** 64 lower-case hex digits. */
  sha256: string;
}

export interface ShardInfo extends FileInfo {
  /** Layers whose tensors it holds; -1: tensors of none. */
  layers: number[];
}

export interface ModelInfo {
  name: string;
  /** config of manifest.json. */
  config: Record<string, unknown>;
  chatTemplate: boolean;
  tokenizer: FileInfo;
  files: FileInfo[];
  shards: ShardInfo[];
}

/** What running takes, before anything is downloaded; bytes. */
export interface MemoryPlan {
  context: number;
  downloadBytes: number;
  weightBytes: number;
  kvBytes: number;
  activationBytes: number;
  /** What the module's memory must hold for the CPU engine. */
  wasmBytes: number;
  wasmLimit: number;
  fitsWasm: boolean;
}

export interface EngineInfo {
  backend: string;
  device: string;
  context: number;
  maxRows: number;
  maxLogitRows: number;
  /** Pages of 64 positions in the cache. */
  pages: number;
  kvDtype: string;
  weightBytes: number;
  kvBytes: number;
  activationBytes: number;
}

export interface Usage {
  promptTokens: number;
  /** Of the prompt, found in the cache by setPrompt. */
  reusedTokens: number;
  completionTokens: number;
  /** Positions in the KV cache. */
  cached: number;
  /** Positions that slid away. */
  evicted: number;
  /** Tokens known but not computed yet. */
  pending: number;
  finish: FinishReason;
}

/** Rows for somebody else to compute: views of the module's memory, valid until its next call. */
export interface Batch {
  rows: number;
  sequences: number;
  tokens: Int32Array;
  /** For RoPE; keeps growing when the cache slides. */
  positions: Int32Array;
  /** Where K and V of a row go in its sequence's block table; it attends to 0..kvIndex. */
  kvIndices: Int32Array;
  /** 0 to sequences - 1; rows of one are adjacent. */
  sequence: Int32Array;
  /** 1: the row's logits are wanted. */
  wantsLogits: Uint8Array;
  /** [sequences][tableStride] pages: kvIndex i lies in entry i / 64. */
  blockTable: Int32Array;
  tableStride: number;
}

/** How a device is to choose the next tokens, as the sampler would; temperature 0: the likeliest. */
export interface TokenChoice {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  /** A random number from [0, 1) for each token. */
  units: Float32Array;
}

/** A kind of op in the step of one token, by the device's own clock. */
export interface OpTime {
  label: string;
  /** Of these ops in a step. */
  count: number;
  /** Of one. */
  microseconds: number;
  /** Weights that one reads. */
  bytes: number;
}

/** A session without its KV: plain JSON, for another module of the same model. */
export interface SavedSession {
  atLimit: 'stop' | 'slide';
  /** The answer's options, as JSON. */
  options: string;
  prompt: number[];
  answer: number[];
  cancelled: boolean;
}
