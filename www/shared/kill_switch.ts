// SPDX-License-Identifier: Apache-2.0
// The way out, should a worker ever serve something broken: it asks by itself, at every visit, and
// needs none of the page's code for that. The page asks too, before it installs one.

import { SWITCH_FILE, type SwitchFile } from './sw_messages.ts';

/** True only when the server says so; without network or file the worker stays. */
export async function isSwitchedOff(base: string, get: typeof fetch): Promise<boolean> {
  try {
    const answer = await get(new URL(SWITCH_FILE, base), { cache: 'no-store' });
    if (!answer.ok) return false;
    return ((await answer.json()) as Partial<SwitchFile> | null)?.enabled === false;
  } catch {
    return false;
  }
}
