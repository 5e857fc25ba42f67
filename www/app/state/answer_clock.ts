// SPDX-License-Identifier: Apache-2.0
// Measures one answer, and tells metrics.ts.

import type { EngineInfo, EngineKind } from '@lamina/engine';
import type { AnswerNumbers } from './db.ts';
import type { LiveNumbers } from './live.ts';
import { addMetric } from './metrics.ts';

const SAMPLE_MS = 250;

export class AnswerClock {
  private readonly began = performance.now();
  private first = 0;
  private firstTokens = 0;
  private count = 0;
  private promptTokens = 0;
  private cachedTokens = 0;
  private begunOn: EngineKind | undefined;
  private sampledAt = 0;
  private sampledCount = 0;

  started(promptTokens: number, cachedTokens: number, { engine }: EngineInfo): void {
    this.begunOn ??= engine;
    if (this.promptTokens > 0) return;
    this.promptTokens = promptTokens;
    this.cachedTokens = cachedTokens;
  }

  /** The numbers so far, at the first token and then every 250 ms. */
  tokens(count: number, engine: EngineKind): LiveNumbers | null {
    const now = performance.now();
    this.count += count;
    if (this.first === 0 && count > 0) {
      this.first = this.sampledAt = now;
      this.firstTokens = this.sampledCount = this.count;
      return this.live(0);
    }
    if (this.first === 0 || now - this.sampledAt < SAMPLE_MS) return null;
    const tokensPerSecond = ((this.count - this.sampledCount) / (now - this.sampledAt)) * 1000;
    this.sampledAt = now;
    this.sampledCount = this.count;
    addMetric({ time: Date.now(), kind: 'sample', engine, tokensPerSecond, ttft: this.firstToken(), tokens: this.count });
    return this.live(tokensPerSecond);
  }

  /** Null where there was no token. */
  finish(info: EngineInfo): AnswerNumbers | null {
    if (this.first === 0) return null;
    const now = performance.now();
    const later = this.count - this.firstTokens;
    const tokensPerSecond = now > this.first ? (later / (now - this.first)) * 1000 : 0;
    const { engine, device, model } = info;
    const firstToken = this.firstToken();
    const unseen = later > 0 && this.sampledCount === this.firstTokens; // quicker than a sample's time
    if (unseen) addMetric({ time: Date.now(), kind: 'sample', engine, tokensPerSecond, ttft: firstToken, tokens: this.count });
    addMetric({ time: Date.now(), kind: 'answer', engine, tokensPerSecond, ttft: firstToken, tokens: this.count });
    return {
      engine, ...(this.begunOn && this.begunOn !== engine ? { begunOn: this.begunOn } : {}), device, model,
      tokensPerSecond, firstToken, seconds: (now - this.began) / 1000, tokens: this.count,
      promptTokens: this.promptTokens, cachedTokens: this.cachedTokens,
    };
  }

  private firstToken(): number {
    return (this.first - this.began) / 1000;
  }

  private live(tokensPerSecond: number): LiveNumbers {
    return { tokens: this.count, tokensPerSecond, promptTokens: this.promptTokens, firstToken: this.firstToken() };
  }
}
