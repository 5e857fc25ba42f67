// SPDX-License-Identifier: Apache-2.0
import { signal } from '@preact/signals';

export interface Answering {
  conversation: string;
  message: string;
}

/** The answer that is being made. */
export const answering = signal<Answering | null>(null);
