// SPDX-License-Identifier: Apache-2.0
// The smallest service worker that answers for models out of the store.
import { ShardStore } from '/web/storage/index.ts';

const store = ShardStore.open({ retries: 0 });
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  if (!new URL(event.request.url).pathname.startsWith('/models/')) return;
  event.respondWith((async () =>
    (await (await store).respond(event.request)) ?? fetch(event.request))());
});
