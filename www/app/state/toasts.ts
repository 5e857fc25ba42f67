// SPDX-License-Identifier: Apache-2.0
// Short messages at the page's edge.

import { signal } from '@preact/signals';

export interface Toast {
  id: number;
  text: string;
  kind: 'info' | 'error';
  action?: { label: string; run: () => void };
}

export const toasts = signal<readonly Toast[]>([]);
let lastId = 0;

/** Leaves by itself after `seconds`; 0: stays until dismissed. */
export function toast(text: string, options: Partial<Omit<Toast, 'id' | 'text'>> & { seconds?: number } = {}): void {
  const { seconds = 6, kind = 'info', action } = options;
  const made: Toast = { id: ++lastId, text, kind, ...(action ? { action } : {}) };
  toasts.value = [...toasts.value.slice(-3), made];
  if (seconds > 0) setTimeout(() => dismissToast(made.id), seconds * 1000);
}

export function dismissToast(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}
