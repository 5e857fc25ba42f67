// SPDX-License-Identifier: Apache-2.0
// Where this page comes from: a daemon that answers at the same origin, or a plain static host with
// a list of models.

import { settings } from './settings.ts';

export interface OfferedModel {
  name: string;
  /** Absolute, of the model's folder, with a slash at its end. */
  url: string;
}

export interface Place {
  daemon: boolean;
  models: OfferedModel[];
}

const base = () => document.baseURI.replace(/#.*$/, '');

async function daemonModels(): Promise<OfferedModel[] | null> {
  const { token } = settings.daemon.value;
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(new URL('/v1/models', base()), { headers, cache: 'no-store' });
  const typed = response.headers.get('content-type')?.includes('json');
  if (!typed) return null;
  if (!response.ok) return []; // a daemon that wants a token
  const { data } = (await response.json()) as { data?: { id?: unknown }[] };
  if (!Array.isArray(data)) return null;
  const names = data.map(({ id }) => id).filter((id) => typeof id === 'string');
  return names.map((name) => ({ name, url: new URL(`/models/${encodeURIComponent(name)}/`, base()).href }));
}

async function hostedModels(): Promise<OfferedModel[]> {
  const list = new URL('models/index.json', base());
  const response = await fetch(list);
  if (!response.ok) throw new Error(`${list.href}: HTTP ${response.status}`);
  const { models } = (await response.json()) as { models?: { name?: unknown; path?: unknown }[] };
  if (!Array.isArray(models)) return [];
  return models.flatMap(({ name, path }) => (typeof name === 'string' && typeof path === 'string'
    ? [{ name, url: new URL(path, list).href }] : []));
}

async function look(): Promise<Place> {
  const daemon = await daemonHere().catch(() => null);
  if (daemon) return { daemon: true, models: remember(daemon) };
  return { daemon: false, models: await hostedModels().then(remember, () => remembered()) };
}

// Without a network, what was offered the last time may well be stored.
const LAST = 'lamina.lastModels';

function remember(models: OfferedModel[]): OfferedModel[] {
  if (models.length === 0) return remembered();
  localStorage.setItem(LAST, JSON.stringify(models));
  return models;
}

function remembered(): OfferedModel[] {
  try {
    return JSON.parse(localStorage.getItem(LAST) ?? '[]') as OfferedModel[];
  } catch {
    return [];
  }
}

// Only a daemon names its own WebSocket in the policy that it sends with the page; a static host is
// not asked for what it cannot have.
async function daemonHere(): Promise<OfferedModel[] | null> {
  const { token, url } = settings.daemon.value;
  if (token === '' || url !== '') {
    const page = await fetch(base(), { method: 'HEAD' });
    const policy = page.headers.get('content-security-policy') ?? '';
    if (!/connect-src[^;]* wss?:\/\//.test(policy)) return null;
  }
  const health = await fetch(new URL('/health/ready', base()), { cache: 'no-store' });
  return health.headers.get('content-type')?.includes('json') ? daemonModels() : null;
}

let known: Promise<Place> | undefined;

/** Looked up once; `again` looks anew, after a token was given. */
export function place(options: { again?: boolean } = {}): Promise<Place> {
  if (options.again) known = undefined;
  return (known ??= look());
}
