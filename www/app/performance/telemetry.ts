// SPDX-License-Identifier: Apache-2.0
// What could be sent, and where to: nowhere, unless whoever built the page named an address and the
// user switched it on.

import { t } from '../text/t.ts';
import { settings } from '../state/settings.ts';
import { toast } from '../state/toasts.ts';
import type { BenchReport } from './bench.ts';

/** Named at build time (VITE_TELEMETRY_URL); the page's policy must allow it too. Empty: none. */
export function telemetryAddress(): string {
  return (import.meta.env.VITE_TELEMETRY_URL as string | undefined) ?? '';
}

/** Sends the report where that was asked for, and says that it did. */
export async function offerReport(
  report: BenchReport, address = telemetryAddress(), send: typeof fetch = fetch,
): Promise<boolean> {
  if (address === '' || !settings.telemetry.value) return false;
  try {
    const answer = await send(address, {
      method: 'POST', credentials: 'omit', referrerPolicy: 'no-referrer',
      headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(report),
    });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    toast(t('tele.sent', { address }));
    return true;
  } catch (thrown) {
    toast(t('tele.failed', { why: thrown instanceof Error ? thrown.message : String(thrown) }), { kind: 'error' });
    return false;
  }
}
