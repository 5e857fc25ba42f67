// SPDX-License-Identifier: Apache-2.0
// The service worker: the page without network, models out of the store, headers for isolation. It
// never takes over by itself: a new version waits until the page asks.

import { isSwitchedOff } from '../shared/kill_switch.ts';
import type { ToPage, ToWorker } from '../shared/sw_messages.ts';
import { detectFeatures, ShardStore } from '@lamina/engine/storage';
import { buildsInUse } from './builds.ts';
import { forgetLists, isModelFile, isModelList, modelFile, modelList } from './models.ts';
import { scope, type FetchEvent } from './scope.ts';
import { Shell, type ShellFile } from './shell.ts';

// Put in by the build.
declare const __SHELL_FILES__: readonly ShellFile[];
declare const __SHELL_VERSION__: string;

const base = scope.registration.scope;
const get: typeof fetch = (input, init) => fetch(input, init);
const { relaxed } = detectFeatures();
const shell = new Shell({
  build: __SHELL_VERSION__, files: __SHELL_FILES__, base, caches, fetch: get,
  isNeeded: (file) => !file.endsWith('.wasm') || file.includes('relaxed') === relaxed,
});
let opening: Promise<ShardStore> | undefined;
const models = {
  base, caches, fetch: get,
  store: () => (opening ??= ShardStore.open({ retries: 0 })),
};

let off = false; // answers nothing more, so that nothing is cached again

const openPages = () => scope.clients.matchAll({ type: 'window', includeUncontrolled: true });

// A newer build that waits is none of the old ones; its own worker cleans up.
async function cleanUp(): Promise<void> {
  if (scope.registration.installing || scope.registration.waiting) return;
  const inUse = await buildsInUse(await openPages(), 3000);
  if (inUse) await shell.cleanUp(inUse);
}

async function switchOff(): Promise<void> {
  off = true;
  await shell.removeAll();
  await forgetLists(caches);
  await scope.registration.unregister();
  for (const page of await openPages()) page.postMessage({ kind: 'switched-off' } satisfies ToPage);
}

async function heedSwitch(): Promise<void> {
  if (await isSwitchedOff(base, get)) await switchOff();
}

function answerTo({ request }: FetchEvent): Promise<Response> | null {
  if (isModelList(request, base)) return modelList(request, models);
  if (isModelFile(request)) return modelFile(request, models);
  if (!shell.handles(request)) return null;
  return shell.answer(request).then((found) => found ?? get(request));
}

scope.addEventListener('install', (event) => event.waitUntil(shell.install()));

scope.addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    await scope.clients.claim();
    await cleanUp();
  })());
});

scope.addEventListener('fetch', (event) => {
  if (off) return;
  const answer = answerTo(event);
  if (answer) event.respondWith(answer);
  if (event.request.mode === 'navigate') event.waitUntil(heedSwitch());
});

scope.addEventListener('message', (event) => {
  const message = event.data as ToWorker | null;
  if (message?.kind === 'apply-update') event.waitUntil(scope.skipWaiting());
  if (message?.kind === 'loaded') event.waitUntil(cleanUp());
  if (message?.kind === 'switch-off') event.waitUntil(switchOff());
});
