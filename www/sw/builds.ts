// SPDX-License-Identifier: Apache-2.0
// Which builds the open pages are of: they need their build's files until they are closed.

import type { BuildAnswer, ToPage } from '../shared/sw_messages.ts';
import type { WindowClient } from './scope.ts';

/** Null when a page does not say it in time: one that sleeps, or one that is still loading. */
export async function buildsInUse(
  pages: readonly WindowClient[], waitMs: number,
): Promise<Set<string> | null> {
  const builds = await Promise.all(pages.map((page) => buildOf(page, waitMs)));
  return builds.includes(null) ? null : new Set(builds as string[]);
}

function buildOf(page: WindowClient, waitMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const timer = setTimeout(() => settle(null), waitMs);
    const settle = (build: string | null): void => {
      clearTimeout(timer);
      port1.close();
      resolve(build);
    };
    port1.onmessage = ({ data }: MessageEvent<BuildAnswer>) => settle(data.build);
    page.postMessage({ kind: 'which-build' } satisfies ToPage, [port2]);
  });
}
