// SPDX-License-Identifier: Apache-2.0
// Requests and answers in the shapes of OpenAI's API, as far as it is about text, with this
// project's additions (top_k, min_p, repeat_penalty, ignore_eos, timings). The daemon's HTTP API
// speaks the same.

export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool';

export interface TextPart {
  type: 'text';
  text: string;
}

export interface ChatMessage {
  role: Role;
  content: string | TextPart[];
}

/** What chat and plain completions have in common. Absent or null: the default. */
export interface SamplingRequest {
  /** 0: always the likeliest token. At most 2; default 0.8. */
  temperature?: number | null;
  /** The likeliest so many only; 0 or -1: off. */
  top_k?: number | null;
  top_p?: number | null;
  min_p?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  /** 1: off. */
  repeat_penalty?: number | null;
  /** The penalties' window in tokens; -1: everything. */
  repeat_last_n?: number | null;
  /** Token ids to what is added to their logits, -100 to 100. */
  logit_bias?: Record<string, number> | null;
  /** The same seed gives the same answer on the same engine. Default: drawn. */
  seed?: number | null;
  /** Up to 16; the answer ends before the first that would be in it. */
  stop?: string | string[] | null;
  /** Tokens of the answer at most. */
  max_tokens?: number | null;
  /** Goes on after the model ended its turn: for measurements. */
  ignore_eos?: boolean | null;
  /** Ignored: an engine has one model. */
  model?: string | null;
  /** Answers, 1 to 128; they take turns in the browser. Default 1. */
  n?: number | null;
  user?: string | null;
}

interface StreamOptions {
  /** The last chunk has no choices, but the usage. */
  include_usage?: boolean | null;
}

interface ChatBase extends SamplingRequest {
  messages: ChatMessage[];
  max_completion_tokens?: number | null;
  /** Each token's log probability. */
  logprobs?: boolean | null;
  /** With it those of the likeliest tokens, up to 20. */
  top_logprobs?: number | null;
}

export interface ChatRequestStreaming extends ChatBase {
  stream: true;
  stream_options?: StreamOptions | null;
}

export interface ChatRequestWhole extends ChatBase {
  stream?: false | null;
}

export type ChatRequest = ChatRequestStreaming | ChatRequestWhole;

interface CompletionBase extends SamplingRequest {
  /** Text, completed as it stands, or token ids. */
  prompt: string | number[];
  /** Each token's log probability, with those of the likeliest, up to 20. */
  logprobs?: number | null;
}

export interface CompletionRequestStreaming extends CompletionBase {
  stream: true;
  stream_options?: StreamOptions | null;
}

export interface CompletionRequestWhole extends CompletionBase {
  stream?: false | null;
}

export type CompletionRequest = CompletionRequestStreaming | CompletionRequestWhole;

/** Of logits as they were before biases and penalties; natural, at least -9999. */
export interface ChatLogprob {
  /** Text; of a part of a code point U+FFFD. */
  token: string;
  logprob: number;
  /** UTF-8. */
  bytes: number[];
}

export interface ChatTokenLogprob extends ChatLogprob {
  top_logprobs: ChatLogprob[];
}

export interface ChatLogprobs {
  content: ChatTokenLogprob[];
  refusal: null;
}

/** One entry a token in each. */
export interface TextLogprobs {
  tokens: string[];
  token_logprobs: number[];
  /** By text; of two tokens with the same, the likelier. */
  top_logprobs: Record<string, number>[];
  /** Where the token begins in the answer, in UTF-16 units. */
  text_offset: number[];
}

/** `stop`: the model ended its turn, a stop string came, or the answer was cancelled. */
export type OpenAiFinish = 'stop' | 'length';

export interface CompletionUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Of the prompt, found in the KV cache. */
  prompt_tokens_details: { cached_tokens: number };
  timings: UsageTimings;
}

/** Seconds, but for the rates, which are tokens per second. */
export interface UsageTimings {
  /** From the call to the first token. */
  first_token: number;
  /** From the call to the end. */
  total: number;
  prompt_per_second: number;
  /** After the first token. */
  predicted_per_second: number;
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: {
    index: number;
    message: { role: 'assistant'; content: string; refusal: null };
    logprobs: ChatLogprobs | null;
    finish_reason: OpenAiFinish;
  }[];
  usage: CompletionUsage;
}

export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: 'assistant'; content?: string };
    logprobs: ChatLogprobs | null;
    finish_reason: OpenAiFinish | null;
  }[];
  usage?: CompletionUsage | null;
}

export interface TextCompletion {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: {
    index: number;
    text: string;
    logprobs: TextLogprobs | null;
    finish_reason: OpenAiFinish;
  }[];
  usage: CompletionUsage;
}

export interface TextCompletionChunk {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: {
    index: number;
    text: string;
    logprobs: TextLogprobs | null;
    finish_reason: OpenAiFinish | null;
  }[];
  usage?: CompletionUsage | null;
}
