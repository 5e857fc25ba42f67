// SPDX-License-Identifier: Apache-2.0
// What answers took: one entry per answer, and one per 250 ms while an answer streams.

import { signal } from '@preact/signals';
import type { EngineKind } from '@lamina/engine';

export interface Metric {
  /** Milliseconds since 1970. */
  time: number;
  kind: 'sample' | 'answer';
  engine: EngineKind;
  /** Of the last 250 ms in a sample; after the first token in an answer. */
  tokensPerSecond: number;
  /** Seconds to the first token. */
  ttft: number;
  /** Of the answer, so far. */
  tokens: number;
}

const MOST = 2400; // ten minutes of samples

export const metrics = signal<readonly Metric[]>([]);

export function addMetric(metric: Metric): void {
  const all = metrics.value;
  metrics.value = [...(all.length < MOST ? all : all.slice(all.length - MOST + 1)), metric];
}
