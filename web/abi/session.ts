// SPDX-License-Identifier: Apache-2.0
// One conversation: a session of the core, on an engine that computes in the module or elsewhere.

import { LaminaError } from '../engine/errors.ts';
import type { Engine } from './engine.ts';
import type { Native } from './native.ts';
import { FINISH_REASONS } from './types.ts';
import type {
  AnswerOptions, Batch, ChatMessage, Logprob, Prompt, SavedSession, TokenChoice, TokenEvent, Usage,
} from './types.ts';

const EVENT_WORDS = 7;
const LOGPROB_WORDS = 4;
const BATCH_WORDS = 9;

/** The events of the last call, with the index of the session that each belongs to. */
export function readEvents(native: Native): { session: number; event: TokenEvent }[] {
  const n = native.address('lamina_events_size');
  const words = native.int32(native.address('lamina_events'), n * EVENT_WORDS);
  const out: { session: number; event: TokenEvent }[] = [];
  for (let at = 0; at < words.length; at += EVENT_WORDS) {
    const [session, token, finish, text, bytes, logprobs, count] =
      words.subarray(at, at + EVENT_WORDS);
    const event: TokenEvent = {
      token: token!, text: native.decode(text! >>> 0, bytes!),
      finish: FINISH_REASONS[finish!] ?? 'none',
    };
    const [own, ...top] = readLogprobs(native, logprobs! >>> 0, count!);
    if (own) event.logprobs = { ...own, top };
    out.push({ session: session!, event });
  }
  return out;
}

function readLogprobs(native: Native, address: number, count: number): Logprob[] {
  const words = native.int32(address, count * LOGPROB_WORDS);
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  return Array.from({ length: count }, (_, i) => {
    const at = i * LOGPROB_WORDS;
    const bytes = native.bytes(words[at + 2]! >>> 0, words[at + 3]!).slice();
    const text = new TextDecoder().decode(bytes);
    return { token: words[at]!, logprob: floats[at + 1]!, text, bytes: Array.from(bytes) };
  });
}

/** The last batch: views of the module's memory. */
export function readBatch(native: Native): Batch {
  const at = native.int32(native.address('lamina_batch'), BATCH_WORDS);
  const [rows, sequences] = [at[0]!, at[1]!];
  const ints = (word: number, n: number) => native.int32(at[word]! >>> 0, n);
  return {
    rows,
    sequences,
    tokens: ints(2, rows),
    positions: ints(3, rows),
    kvIndices: ints(4, rows),
    sequence: ints(5, rows),
    wantsLogits: native.bytes(at[6]! >>> 0, rows),
    blockTable: ints(7, sequences * at[8]!),
    tableStride: at[8]!,
  };
}

function isChat(prompt: Prompt): prompt is readonly ChatMessage[] {
  return Array.isArray(prompt) && typeof prompt[0] === 'object';
}

export class Session {
  /** Where it lives; changes with moveTo. */
  engine: Engine;
  readonly #native: Native;
  #address: number;

  /** Made by an engine. */
  constructor(engine: Engine, address: number) {
    this.engine = engine;
    this.#native = engine.native;
    this.#address = address;
    engine.sessions.add(this);
  }

  /** Its address in the module. Throws `closed` after dispose. */
  get address(): number {
    if (this.#address === 0) throw new LaminaError('closed', 'the session is disposed');
    return this.#address;
  }

  /**
   * Makes the context equal the prompt, keeping what is cached of its beginning, from here or from
   * earlier sessions of the engine, and begins an answer. Throws `context_exceeded`, `invalid_argument`, `unsupported` (messages without a chat
   * template). Returns the prompt's ids.
   */
  setPrompt(prompt: Prompt, options: AnswerOptions = {}): Int32Array {
    const model = this.engine.model;
    const ids = typeof prompt === 'string' ? model.tokenize(prompt)
      : isChat(prompt) ? model.chat(prompt)
      : Int32Array.from(prompt as ArrayLike<number>);
    const native = this.#native;
    native.lendNumbers(ids, (at, n) =>
      native.lend(JSON.stringify(options), (text, bytes) =>
        native.must('lamina_session_prompt', this.address, at, n, text, bytes)));
    return ids;
  }

  get usage(): Usage {
    this.#native.must('lamina_session_describe', this.address);
    return this.#native.json<Usage>();
  }
  get finished(): boolean {
    return this.usage.finish !== 'none';
  }
  /** Prompt and answer. */
  get tokens(): Int32Array {
    this.#native.must('lamina_session_tokens', this.address);
    return this.#native.ints();
  }
  /** Pages of the engine's cache, in the order of positions. */
  get pages(): Int32Array {
    this.#native.must('lamina_session_pages', this.address);
    return this.#native.ints();
  }

  /** CPU: computes one step: some rows of the prompt, without an event, or a token. */
  step(): TokenEvent[] {
    return this.engine.step([this]).map((e) => e.event);
  }

  /**
   * CPU, while shards arrive: computes a layer of some of the prompt's rows. Gives the first token once
   * that was the last part, no events before, and null where the next layer's shards are missing.
   * undo(), or any other step, forgets the parts.
   */
  advance(): TokenEvent[] | null {
    const done = this.#native.count('lamina_session_advance', this.address);
    return done === 0 ? null : readEvents(this.#native).map((e) => e.event);
  }

  /** Ends the answer; gives text that was held back. */
  cancel(): TokenEvent {
    this.#native.must('lamina_session_cancel', this.address);
    return this.#oneEvent();
  }

  /**
   * Remote: the next rows to compute, or null when the answer is finished. The batch's views are
   * valid until the next call of anything in this module.
   */
  next(maxRows: number = this.engine.info.maxRows): Batch | null {
    return this.engine.next([this], maxRows);
  }

  /** Remote: the logits [vocab] of the last row of next(), which the sampler takes a token from. */
  accept(logits: Float32Array): TokenEvent {
    if (logits.length !== this.engine.model.vocab) {
      throw new LaminaError('invalid_argument',
        `${logits.length} logits for a vocabulary of ${this.engine.model.vocab}`);
    }
    this.#native.lendNumbers(logits, (at) =>
      this.#native.must('lamina_session_accept', this.address, at));
    return this.#oneEvent();
  }

  /** Remote: the token that the device has chosen by choice(). */
  acceptToken(token: number): TokenEvent {
    return this.acceptTokens(Int32Array.of(token))[0]!;
  }
  /** Remote: several, of lookAhead(); those after an end are forgotten. */
  acceptTokens(tokens: Int32Array): TokenEvent[] {
    this.#native.lendNumbers(tokens, (at, n) =>
      this.#native.must('lamina_session_accept_tokens', this.address, at, n));
    return readEvents(this.#native).map((e) => e.event);
  }

  /** Remote: the rows of next() were not computed after all. */
  undo(): void {
    this.#native.call('lamina_session_undo', this.address);
  }

  /**
   * Remote, after a next() of one row that wants logits: how many tokens, at most `most`, the
   * device may decode in one go. `engine.batch()` then has the pages for them.
   */
  lookAhead(most: number): number {
    return this.#native.call('lamina_session_look_ahead', this.address, most);
  }

  /** Remote: how the device chooses the next n tokens, or null where the logits are wanted here. */
  choice(n: number): TokenChoice | null {
    if (this.#native.call('lamina_session_choice', this.address, n) === 0) return null;
    const units = this.#native.floats();
    return { ...this.#native.json<Omit<TokenChoice, 'units'>>(), units };
  }

  /**
   * Remote, of a session that slides, before each next(): pages [from, to] of slide work that is
   * owed, or null. The device exports page `from` (64 positions), turnSinks turns it, the device
   * imports the result to page `to`.
   */
  slide(): { from: number; to: number } | null {
    if (this.#native.count('lamina_session_slide', this.address) === 0) return null;
    const [from, to] = this.#native.ints();
    return { from: from!, to: to! };
  }
  turnSinks(page: Uint16Array): Uint16Array {
    const native = this.#native;
    return native.lendNumbers(page, (at, n) => {
      native.must('lamina_session_turn', this.address, at, n);
      return new Uint16Array(native.memory.buffer, at, n).slice();
    });
  }

  /**
   * CPU: keys and values of all cached positions (usage.cached), f16
   * [layer][k|v][kv_head][position][head_dim], as a copy.
   */
  exportKv(): Uint16Array {
    this.#native.must('lamina_session_export_kv', this.address);
    return this.#native.halves();
  }

  /** CPU: replaces the cache by `kv` of the first `positions` positions; see moveTo. */
  importKv(kv: Uint16Array, positions: number): number {
    return this.moveTo(this.engine, kv, positions);
  }

  /**
   * Goes on in another engine of the same model and module, or in the same one, with the KV of
   * the first `positions` of what it had cached; the rest is computed again. Returns how many it
   * keeps. For a remote engine `kv` is not read: fill `pages` on the device. On an error the
   * session stays where it is.
   */
  moveTo(engine: Engine, kv: Uint16Array = new Uint16Array(0), positions = 0): number {
    const data = engine.remote ? new Uint16Array(0) : kv;
    const kept = this.#native.lendNumbers(data, (at, n) =>
      this.#native.count('lamina_session_move', this.address, engine.address, at, n, positions));
    this.engine.sessions.delete(this);
    this.engine = engine;
    engine.sessions.add(this);
    return kept;
  }

  /** All but the KV: for Engine.restoreSession, in any module. */
  save(): SavedSession {
    this.#native.must('lamina_session_save', this.address);
    return this.#native.json<SavedSession>();
  }

  dispose(): void {
    if (this.#address === 0) return;
    this.engine.sessions.delete(this);
    if (!this.#native.closed) this.#native.call('lamina_session_close', this.#address);
    this.#address = 0;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  #oneEvent(): TokenEvent {
    return readEvents(this.#native)[0]!.event;
  }
}
