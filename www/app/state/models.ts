// SPDX-License-Identifier: Apache-2.0
// The models that this page knows, what of them is stored, and what is being done with them.

import { signal } from '@preact/signals';
import { LaminaError, planModel, type EngineOptions, type ModelPlan } from '@lamina/engine';
import type { ImportSource, Progress, Usage, Verdict } from '@lamina/engine/storage';
import type { ModelFacts } from '../../shared/model_facts.ts';
import type { ModelRef } from '../../shared/store_calls.ts';
import { storeClient } from '../models/store_client.ts';
import { t } from '../text/t.ts';
import { engineOptions } from './engine.ts';
import { modelHeaders, modelTrust } from './model_access.ts';
import { place } from './places.ts';

export type Work = 'download' | 'verify' | 'repair' | 'export' | 'remove';

export interface Job {
  work: Work;
  progress?: Progress;
  paused: boolean;
}

export interface ModelEntry {
  /** Of the folder or the manifest, as the settings name it. */
  url: string;
  name: string;
  /** Who names it: this page's host, its daemon, the user, or only the store. */
  origin: 'host' | 'daemon' | 'added' | 'stored';
  facts?: ModelFacts;
  plan?: ModelPlan;
  job?: Job;
  /** Of the last work. */
  error?: string;
  verdict?: Verdict;
}

export const models = signal<readonly ModelEntry[]>([]);
export const usage = signal<Usage | null>(null);
export const modelsState = signal<'unknown' | 'looking' | 'known'>('unknown');

const ADDED = 'lamina.addedModels';
const stops = new Map<string, AbortController>();

export function manifestOf(url: string): string {
  if (url.startsWith('lamina-import:') || url.endsWith('.json')) return url;
  return `${url.replace(/\/*$/, '')}/manifest.json`;
}

function change(url: string, by: (entry: ModelEntry) => ModelEntry): void {
  models.value = models.value.map((entry) => (entry.url === url ? by(entry) : entry));
}

function without<K extends 'job' | 'error' | 'verdict' | 'plan'>(entry: ModelEntry, ...names: K[]): ModelEntry {
  const copy = { ...entry };
  for (const name of names) delete copy[name];
  return copy;
}

function added(): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(ADDED) ?? '[]');
    return Array.isArray(list) ? list.filter((url) => typeof url === 'string') : [];
  } catch {
    return [];
  }
}

function refOf(url: string, stored = false): ModelRef {
  const headers = modelHeaders(url);
  const trust = modelTrust();
  return { url: manifestOf(url), stored, ...(headers ? { headers } : {}), ...(trust ? { trust } : {}) };
}

/** Finds all models, and looks into each. Never throws: what fails is told by its entry. */
export async function refreshModels(): Promise<void> {
  modelsState.value = 'looking';
  const here = await place().catch(() => ({ daemon: false, models: [] }));
  await refreshUsage();
  const found = new Map<string, ModelEntry>();
  const add = (entry: ModelEntry): void => {
    const key = manifestOf(entry.url);
    if (!found.has(key)) found.set(key, { ...models.value.find((old) => manifestOf(old.url) === key), ...entry });
  };
  for (const { name, url } of here.models) add({ name, url, origin: here.daemon ? 'daemon' : 'host' });
  for (const url of added()) add({ name: nameOf(url), url, origin: 'added' });
  for (const { name, url, storedBytes } of usage.value?.models ?? []) {
    if (storedBytes > 0) add({ name, url, origin: 'stored' });
  }
  models.value = [...found.values()];
  await Promise.all(models.value.map(({ url }) => look(url)));
  modelsState.value = 'known';
  for (const { url, plan, error } of models.value.slice(0, 4)) if (!plan && !error) await estimate(url);
}

export async function refreshUsage(): Promise<void> {
  usage.value = await storeClient().call('usage', null).catch(() => null);
}

/** Reads the manifest: size, precision, signature. */
export async function look(url: string): Promise<void> {
  try {
    const facts = await storeClient().call('look', refOf(url));
    change(url, (entry) => ({ ...without(entry, 'error'), facts, name: facts.name || entry.name }));
  } catch (thrown) {
    change(url, (entry) => ({ ...entry, error: LaminaError.from(thrown).message }));
  }
}

/** What it would take here: its tokenizer is fetched for that, no weights. */
export async function estimate(url: string): Promise<void> {
  try {
    const options: EngineOptions = { ...(await engineOptions()), model: url };
    const headers = modelHeaders(url);
    const engine = options.engine === 'daemon' ? 'auto' : options.engine ?? 'auto';
    const plan = await planModel({ ...options, engine, ...(headers ? { headers } : {}) });
    change(url, (entry) => ({ ...entry, plan }));
  } catch (thrown) {
    change(url, (entry) => ({ ...entry, error: LaminaError.from(thrown).message }));
  }
}

async function working(url: string, work: Work, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  if (stops.has(url)) return;
  const stop = new AbortController();
  stops.set(url, stop);
  change(url, (entry) => ({ ...without(entry, 'error', 'verdict'), job: { work, paused: false } }));
  try {
    await run(stop.signal);
  } catch (thrown) {
    const error = LaminaError.from(thrown);
    if (error.code !== 'cancelled') change(url, (entry) => ({ ...entry, error: error.message }));
  } finally {
    stops.delete(url);
    change(url, (entry) => without(entry, 'job'));
    await refreshUsage();
    await refreshFacts(url);
  }
}

function withoutShards(facts: ModelFacts): ModelFacts {
  return { ...facts, storedBytes: 0, shards: facts.shards.map((shard) => ({ ...shard, stored: false })) };
}

// Only what is stored may have changed; an error that was told stays.
async function refreshFacts(url: string): Promise<void> {
  const facts = await storeClient().call('look', refOf(url, true)).catch(() => null);
  if (facts) change(url, (entry) => ({ ...entry, facts }));
}

async function follow(url: string, work: 'download' | 'verify' | 'repair', signal: AbortSignal): Promise<void> {
  for await (const event of storeClient().stream(work, refOf(url), signal)) {
    if (event.kind === 'verdict') change(url, (entry) => ({ ...entry, verdict: event.verdict }));
    else change(url, (entry) => (entry.job ? { ...entry, job: { ...entry.job, progress: event.progress } } : entry));
  }
}

/** Into the store; goes on where it stopped. */
export async function download(url: string): Promise<void> {
  // Pages may ask, workers may not. Not waited for: Firefox asks its user, who may never answer.
  void navigator.storage?.persist?.().catch(() => false);
  return working(url, 'download', (signal) => follow(url, 'download', signal));
}

/** Hashes every stored file; wrong ones are removed. */
export function verify(url: string): Promise<void> {
  return working(url, 'verify', (signal) => follow(url, 'verify', signal));
}

/** verify(), and what is wrong or missing is fetched again, nothing else. */
export function repair(url: string): Promise<void> {
  return working(url, 'repair', (signal) => follow(url, 'repair', signal));
}

export async function pause(url: string, paused: boolean): Promise<void> {
  const known = await storeClient().call('pause', { url: manifestOf(url), paused });
  if (known) change(url, (entry) => (entry.job ? { ...entry, job: { ...entry.job, paused } } : entry));
}

/** What came stays, for the next time. */
export function stop(url: string): void {
  stops.get(url)?.abort();
}

export async function remove(url: string): Promise<void> {
  await working(url, 'remove', async () => {
    await storeClient().call('remove', { url: manifestOf(url) });
    change(url, (entry) => (entry.facts ? { ...entry, facts: withoutShards(entry.facts) } : entry));
  });
  const gone = models.value.find((entry) => entry.url === url && entry.origin === 'stored' && !entry.error);
  if (gone) models.value = models.value.filter((entry) => entry !== gone);
  else change(url, (entry) => without(entry, 'verdict'));
}

/** Takes a model folder's files; gives its address. Errors: as the store's. */
export async function importModel(source: ImportSource): Promise<string> {
  const trust = modelTrust();
  const url = await storeClient().call('importModel', { source, ...(trust ? { trust } : {}) });
  await refreshModels();
  return url;
}

export function exportFolder(url: string, folder: FileSystemDirectoryHandle): Promise<void> {
  return working(url, 'export', (signal) =>
    storeClient().call('exportFolder', { model: refOf(url), folder }, signal));
}

/** The model's folder as one .tar; null when that failed, as its entry tells. */
export async function exportFile(url: string): Promise<Blob | null> {
  let blob: Blob | null = null;
  await working(url, 'export', async (signal) => {
    blob = await storeClient().call('exportFile', { model: refOf(url) }, signal);
  });
  return blob;
}

/** By the address of its folder. Errors: `invalid_argument` for what this page's policy lets it not fetch. */
export async function addAddress(text: string): Promise<void> {
  const address = URL.parse(text.trim(), document.baseURI);
  if (!address || !/^https?:$/.test(address.protocol)) throw new LaminaError('invalid_argument', t('storage.addressBad'));
  const own = address.origin === location.origin;
  const thisComputer = address.protocol === 'http:' && /^(127\.0\.0\.1|localhost)$/.test(address.hostname);
  if (!own && (!thisComputer || (await place()).daemon)) throw new LaminaError('invalid_argument', t('storage.addressOutside'));
  localStorage.setItem(ADDED, JSON.stringify([...new Set([...added(), address.href])]));
  await refreshModels();
}

/** Takes an added address from the list; what is stored of it stays. */
export function forgetAddress(url: string): void {
  localStorage.setItem(ADDED, JSON.stringify(added().filter((one) => one !== url)));
  models.value = models.value.filter((entry) => entry.url !== url);
}

export function isStored({ facts }: ModelEntry): boolean {
  return facts !== undefined && facts.bytes > 0 && facts.storedBytes === facts.bytes;
}

function nameOf(url: string): string {
  return url.replace(/\/manifest\.json$/, '').replace(/\/+$/, '').split('/').at(-1) || url;
}
