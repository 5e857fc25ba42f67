// SPDX-License-Identifier: Apache-2.0
// Messages of lamina.v1 (protocol/lamina.v1.schema.json) as types, and what a daemon says held
// against them. Fields that are not known are let through: a newer daemon may say more.

import type { TokenLogprob } from '../../abi/types.ts';
import { isErrorCode, LaminaError } from '../errors.ts';
import type { Finish, Message, Sampling } from '../transport.ts';

export type ClientMessage =
  | { type: 'hello'; client?: string }
  | { type: 'resume'; session: string; last_seq: Record<string, number> }
  | GenerateMessage
  | { type: 'cancel'; id: string }
  | { type: 'load' | 'unload'; id: string; model: string }
  | { type: 'switch_backend'; id: string; model?: string; backend: string }
  | { type: 'status'; subscribe?: boolean; interval?: number };

export interface GenerateMessage {
  type: 'generate';
  id: string;
  model?: string;
  messages?: Message[];
  /** How the answer to the messages begins already. */
  begun?: string;
  prompt?: string;
  prompt_ids?: number[];
  sampling?: Sampling;
  stop?: string[];
  seed?: number;
  max_tokens?: number;
  ignore_eos?: boolean;
  logprobs?: number;
}

export interface ModelEntry {
  name: string;
  default: boolean;
  loaded: boolean;
  backend?: string;
  backend_reason?: string;
  device?: string;
  backends?: string[];
  context?: number;
  parallel?: number;
}

export interface HelloFrame {
  type: 'hello';
  protocol: 'lamina.v1';
  version: string;
  session: string;
  grace_seconds: number;
  models: ModelEntry[];
  limits: { message_bytes: number; buffer_bytes: number; requests: number };
}

export interface ResumedFrame {
  type: 'resumed';
  session: string;
  requests: { id: string; seq: number; finished: boolean }[];
}

export interface ModelState {
  name: string;
  backend: string;
  context: number;
  parallel: number;
  running: number;
  queued: number;
  tokens_per_second: number;
  memory: { weights: number; kv: number; activations: number };
  kv_pages: { total: number; used: number; cached: number };
}

export interface StatusFrame {
  type: 'status';
  uptime: number;
  draining: boolean;
  connections: number;
  sessions: number;
  memory: { resident: number; available: number };
  models: ModelState[];
}

export interface ErrorFrame {
  type: 'error';
  id?: string;
  seq?: number;
  code: string;
  message: string;
  field?: string;
}

interface OfRequest {
  id: string;
  seq: number;
}

/** Frames that answer a request, numbered from 1. */
export type RequestFrame = OfRequest &
  (
    | {
        type: 'started';
        model: string;
        seed: number;
        prompt_tokens: number;
        cached_tokens: number;
      }
    | { type: 'token'; text: string; tokens: number[]; logprobs?: TokenLogprob[] }
    | { type: 'notice'; text: string }
    | {
        type: 'done';
        finish: Finish;
        usage: { prompt_tokens: number; cached_tokens: number; completion_tokens: number };
      }
    | { type: 'progress'; stage: string; done: number; total: number }
    | { type: 'loaded'; model: ModelEntry }
    | { type: 'unloaded'; model: string }
    | { type: 'switched'; model: string; backend: string }
  );

export type ServerFrame = HelloFrame | ResumedFrame | RequestFrame | StatusFrame | ErrorFrame;

type Check = (value: unknown) => boolean;
type Fields = Record<string, Check>;

const text: Check = (v) => typeof v === 'string';
const yesNo: Check = (v) => typeof v === 'boolean';
const amount: Check = (v) => typeof v === 'number' && v >= 0;
const count: Check = (v) => Number.isSafeInteger(v) && (v as number) >= 0;
const seq: Check = (v) => Number.isSafeInteger(v) && (v as number) >= 1;
const id: Check = (v) => typeof v === 'string' && v.length >= 1 && v.length <= 64;
const exactly = (...values: unknown[]): Check => (v) => values.includes(v);
const optional = (check: Check): Check => (v) => v === undefined || check(v);
const list = (check: Check): Check => (v) => Array.isArray(v) && v.every(check);
const object = (fields: Fields): Check => (v) => wrongField(v, fields) === undefined;

/** The path of the first field that is not as told. */
function wrongField(value: unknown, fields: Fields): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return '(itself)';
  for (const [name, check] of Object.entries(fields)) {
    if (!check((value as Record<string, unknown>)[name])) return name;
  }
  return undefined;
}

const memory = object({ weights: count, kv: count, activations: count });
const place = { name: text, backend: text, context: count, parallel: count };
const entry: Check = (v) =>
  object({ name: text, default: yesNo, loaded: yesNo })(v) &&
  (!(v as ModelEntry).loaded ||
    object({ ...place, backend_reason: text, device: text, backends: list(text) })(v));
const state = object({
  ...place,
  running: count,
  queued: count,
  tokens_per_second: amount,
  memory,
  kv_pages: object({ total: count, used: count, cached: count }),
});
const ofRequest: Fields = { id, seq };
const logprob: Fields = {
  token: count, logprob: (v) => typeof v === 'number', text, bytes: list(count),
};
const tokenLogprob = object({ ...logprob, top: list(object(logprob)) });

const FRAMES: Record<string, Fields> = {
  hello: {
    protocol: exactly('lamina.v1'),
    version: text,
    session: id,
    grace_seconds: amount,
    models: list(entry),
    limits: object({ message_bytes: seq, buffer_bytes: seq, requests: seq }),
  },
  resumed: { session: id, requests: list(object({ id, seq: count, finished: yesNo })) },
  started: { ...ofRequest, model: text, seed: count, prompt_tokens: count, cached_tokens: count },
  token: {
    ...ofRequest, text, tokens: list(count), logprobs: optional(list(tokenLogprob)),
  },
  notice: { ...ofRequest, text },
  done: {
    ...ofRequest,
    finish: exactly('eos', 'stop', 'length', 'context', 'cancelled'),
    usage: object({ prompt_tokens: count, cached_tokens: count, completion_tokens: count }),
  },
  progress: { ...ofRequest, stage: text, done: count, total: count },
  loaded: { ...ofRequest, model: entry },
  unloaded: { ...ofRequest, model: text },
  switched: { ...ofRequest, model: text, backend: text },
  error: { code: text, message: text, id: optional(text), seq: optional(seq) },
  status: {
    uptime: amount,
    draining: yesNo,
    connections: count,
    sessions: count,
    memory: object({ resident: count, available: count }),
    models: list(state),
  },
};

/**
 * A frame of the daemon from its JSON text; null for a type that this client does not know.
 * Errors: `protocol`.
 */
export function parseFrame(json: string): ServerFrame | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new LaminaError('protocol', 'the daemon sent a message that is not JSON');
  }
  const type = (value as { type?: unknown } | null)?.type;
  if (typeof type !== 'string') {
    throw new LaminaError('protocol', 'the daemon sent a message without a type');
  }
  const fields = Object.hasOwn(FRAMES, type) ? FRAMES[type] : undefined;
  if (fields === undefined) return null;
  const wrong = wrongField(value, fields);
  if (wrong !== undefined) {
    const what = `the daemon sent a ${type} frame whose ${wrong} is not as lamina.v1 says`;
    throw new LaminaError('protocol', what);
  }
  return value as ServerFrame;
}

/** A daemon's refusal as an error of ours. */
export function refusalOf(frame: ErrorFrame): LaminaError {
  const field = frame.field ? ` (${frame.field})` : '';
  if (isErrorCode(frame.code)) return new LaminaError(frame.code, frame.message + field);
  const code = frame.code === 'out_of_range' ? 'invalid_argument'
    : frame.code === 'too_many' ? 'queue_full'
    : frame.code === 'gone' || frame.code === 'unknown_session' || frame.code === 'taken_over'
      ? 'connection_lost'
      : 'protocol';
  return new LaminaError(code, `${frame.message}${field} [${frame.code}]`);
}
