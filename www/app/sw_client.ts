// SPDX-License-Identifier: Apache-2.0
// The page's side of the service worker: registers it, tells when a new version waits, and lets go
// of it when asked.

import { effect, signal } from '@preact/signals';
import { isSwitchedOff } from '../shared/kill_switch.ts';
import type { BuildAnswer, ToPage, ToWorker } from '../shared/sw_messages.ts';
import { answering } from './state/answering.ts';
import { t } from './text/t.ts';
import { toast } from './state/toasts.ts';

export type OfflineState = 'unsupported' | 'off' | 'preparing' | 'ready';

/** A newer version of the page waits to be used. */
export const updateReady = signal(false);

/** Whether the page opens without network. */
export const offlineState = signal<OfflineState>('preparing');

/** Asks the browser to install the page as an app; null where it offers no such thing. */
export const installOffer = signal<(() => Promise<void>) | null>(null);

const KEY = 'lamina.offline';
const HOUR = 3_600_000;
const UNTOUCHED_MS = 8000; // after that a page is being read
let registration: ServiceWorkerRegistration | undefined;

/** The build that this page is of; empty while it is developed. */
export function pageBuild(): string {
  return document.querySelector<HTMLMetaElement>('meta[name=lamina-build]')?.content ?? '';
}

export function isOfflineWanted(): boolean {
  return localStorage.getItem(KEY) !== 'off';
}

/** After the page has loaded: its own requests come first. */
export async function register(): Promise<void> {
  const { serviceWorker } = navigator as { serviceWorker?: ServiceWorkerContainer };
  if (!serviceWorker || pageBuild() === '') {
    offlineState.value = 'unsupported';
    return;
  }
  serviceWorker.addEventListener('message', hear);
  serviceWorker.startMessages();
  if (!isOfflineWanted()) {
    offlineState.value = 'off';
    return;
  }
  await loaded();
  if (await isSwitchedOff(new URL('.', document.baseURI).href, fetch)) {
    offlineState.value = 'off';
    return;
  }
  watchController(serviceWorker);
  try {
    const url = new URL('sw.js', document.baseURI);
    registration = await serviceWorker.register(url.href, { updateViaCache: 'none' });
  } catch {
    offlineState.value = 'unsupported'; // refused storage, or a host without sw.js
    return;
  }
  watch(registration);
  await serviceWorker.ready;
  offlineState.value = 'ready';
  tell(registration.active, { kind: 'loaded' });
  isolate();
}

/** Uses the version that waits: once no answer is under way, the page loads anew. */
export async function applyUpdate(): Promise<void> {
  await quiet();
  const waiting = registration?.waiting;
  if (!waiting) return location.reload(); // another tab has made it the current one
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
  tell(waiting, { kind: 'apply-update' });
}

/** Off: no service worker and no copy of the page; stored models stay. */
export async function setOfflineUse(on: boolean): Promise<void> {
  if (on) {
    localStorage.removeItem(KEY);
    offlineState.value = 'preparing';
    await register();
    return;
  }
  localStorage.setItem(KEY, 'off');
  tell(registration?.active ?? navigator.serviceWorker.controller, { kind: 'switch-off' });
  offlineState.value = 'off';
}

function tell(worker: ServiceWorker | null, message: ToWorker): void {
  worker?.postMessage(message);
}

function hear({ data, ports }: MessageEvent<ToPage>): void {
  if (data.kind === 'which-build') ports[0]?.postMessage({ build: pageBuild() } satisfies BuildAnswer);
  if (data.kind === 'switched-off') {
    registration = undefined;
    updateReady.value = false;
    offlineState.value = 'off';
  }
}

function watch(of: ServiceWorkerRegistration): void {
  const look = (): void => {
    if (of.waiting && navigator.serviceWorker.controller) updateReady.value = true;
  };
  look();
  of.addEventListener('updatefound', () => of.installing?.addEventListener('statechange', look));
  const ask = (): void => void of.update().catch(() => {}); // offline
  setInterval(ask, HOUR);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') ask();
  });
}

// When another tab takes the new version, this one goes on as it is and offers the same.
function watchController(container: ServiceWorkerContainer): void {
  if (!container.controller) return; // the first worker ever is no update
  container.addEventListener('controllerchange', () => {
    updateReady.value = true;
  });
}

// The worker adds what the host did not send: one more load, and threads can be used. A page that
// nobody has touched yet does that by itself, another one offers it.
function isolate(): void {
  const possible = !globalThis.crossOriginIsolated && isSecureContext;
  const tried = sessionStorage.getItem('lamina.isolating') !== null;
  if (!possible || tried) return;
  sessionStorage.setItem('lamina.isolating', '1');
  const reload = (): void => void quiet().then(() => location.reload());
  if (!touched && performance.now() < UNTOUCHED_MS && !answering.value) return location.reload();
  toast(t('sw.threads'), { seconds: 0, action: { label: t('sw.reload'), run: reload } });
}

// Chromium's way: the event is kept for the page's own button.
interface InstallEvent extends Event {
  prompt(): Promise<unknown>;
}
globalThis.addEventListener?.('beforeinstallprompt', (event) => {
  event.preventDefault();
  installOffer.value = async () => {
    installOffer.value = null;
    await (event as InstallEvent).prompt();
  };
});

let touched = false;
for (const kind of ['pointerdown', 'keydown', 'hashchange']) {
  globalThis.addEventListener?.(kind, () => (touched = true), { once: true, capture: true });
}

// Resolves once nothing would be lost by a reload.
function quiet(): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (answering.value) return;
      queueMicrotask(() => stop());
      resolve();
    });
  });
}

function loaded(): Promise<void> {
  if (document.readyState === 'complete') return Promise.resolve();
  return new Promise((resolve) => addEventListener('load', () => resolve(), { once: true }));
}
