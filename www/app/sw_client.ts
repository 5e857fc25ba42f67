// SPDX-License-Identifier: Apache-2.0
import { signal } from '@preact/signals';

/** A newer version of the page waits to be used. */
export const updateReady = signal(false);

export async function register(): Promise<void> {}

export async function applyUpdate(): Promise<void> {}
