// SPDX-License-Identifier: Apache-2.0
// An answer as it grows, which may be computed by several engines one after the other.

import type { Begun, GenerateRequest, GenerationEvent, Usage } from './transport.ts';

/** What was told of one answer so far. */
export class Answer {
  readonly request: GenerateRequest;
  private readonly tokens: number[] = [];
  private promptTokens = 0;
  private cachedTokens = 0;
  private silent = 0; // tokens at the end whose text is not told yet

  constructor(request: GenerateRequest) {
    this.request = request;
  }

  get usage(): Usage {
    return {
      promptTokens: this.promptTokens,
      cachedTokens: this.cachedTokens,
      completionTokens: this.tokens.length,
    };
  }

  get hasTokens(): boolean {
    return this.tokens.length > 0;
  }

  /** Only the first engine's prompt is the answer's. True when it was the first. */
  started(event: Extract<GenerationEvent, { kind: 'started' }>): boolean {
    if (this.promptTokens > 0) return false;
    this.promptTokens = event.promptTokens;
    this.cachedTokens = event.cachedTokens;
    return true;
  }

  take(event: Extract<GenerationEvent, { kind: 'token' }>): void {
    this.tokens.push(...event.tokens);
    this.silent = event.text === '' ? this.silent + event.tokens.length : 0;
  }

  /**
   * What another engine has to know to go on, when this one ended with `held` untold. Where that is
   * a part of a code point, its tokens are asked for again: a tokenizer cannot begin in the middle.
   */
  begun(promptIds: number[], held: string): Begun {
    const broken = held.includes('\uFFFD');
    if (broken) this.tokens.length -= this.silent;
    this.silent = 0;
    return { promptIds, tokens: [...this.tokens], held: broken ? '' : held };
  }
}
