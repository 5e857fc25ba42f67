// SPDX-License-Identifier: Apache-2.0
// Addresses inside the page: #/chat, #/chat/ID, #/models, #/performance, #/settings.

import { signal } from '@preact/signals';

export type Route =
  | { view: 'chat'; id: string | null }
  | { view: 'models' | 'performance' | 'settings' };

export function parseRoute(hash: string): Route {
  const [view, id] = hash.replace(/^#?\/?/, '').split('/');
  if (view === 'models' || view === 'performance' || view === 'settings') return { view };
  return { view: 'chat', id: view === 'chat' && id ? decodeURIComponent(id) : null };
}

export const route = signal<Route>(parseRoute(location.hash));

export function hrefOf(to: Route): string {
  if (to.view !== 'chat') return `#/${to.view}`;
  return to.id ? `#/chat/${encodeURIComponent(to.id)}` : '#/chat';
}

/** `replace`: without a step in the history. */
export function go(to: Route, options: { replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, '', hrefOf(to));
  else history.pushState(null, '', hrefOf(to));
  route.value = to;
}

export function followAddress(): void {
  addEventListener('hashchange', () => {
    route.value = parseRoute(location.hash);
  });
  addEventListener('popstate', () => {
    route.value = parseRoute(location.hash);
  });
}
