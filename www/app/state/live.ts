// SPDX-License-Identifier: Apache-2.0
// The text of the answer under way. It grows many times a second, so it is no signal: views listen
// and draw at their own pace.

import { signal } from '@preact/signals';

type Listener = (text: string) => void;

export interface LiveNumbers {
  tokens: number;
  tokensPerSecond: number;
  promptTokens: number;
  /** Seconds; 0 before the first token. */
  firstToken: number;
}

/** Renewed four times a second while an answer streams. */
export const liveNumbers = signal<LiveNumbers | null>(null);

let liveId: string | null = null;
let liveText = '';
const listeners = new Set<Listener>();

export function liveTextOf(id: string): string | null {
  return id === liveId ? liveText : null;
}

/** Told at each growth, until the returned function is called. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function setLive(id: string | null, text: string): void {
  liveId = id;
  liveText = text;
  for (const listener of listeners) listener(text);
}
