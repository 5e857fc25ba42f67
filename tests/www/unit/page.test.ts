// SPDX-License-Identifier: Apache-2.0
// Addresses, tokens, scripts, numbers: the small rules of the page.
import { beforeEach, expect, test, vi } from 'vitest';
import { contextUsed } from '../../../www/app/chat/context_gauge.tsx';
import { slowReason } from '../../../www/app/engine_badge.tsx';
import { hrefOf, parseRoute } from '../../../www/app/router.ts';
import { clampTo } from '../../../www/app/settings/sampling_fields.tsx';
import { groupByAge } from '../../../www/app/sidebar.tsx';
import type { Conversation, Message } from '../../../www/app/state/db.ts';
import { plainPrompt, requestFor } from '../../../www/app/state/prompt.ts';
import { DEFAULT_SAMPLING, settings, takeTokenFromAddress } from '../../../www/app/state/settings.ts';
import { ownScript } from '../../../www/app/state/trusted_types.ts';
import { formatBytes, formatSeconds, plural, t } from '../../../www/app/text/t.ts';

beforeEach(() => {
  localStorage.clear();
  sessionStorage.clear();
});

test('addresses are read as they are written', () => {
  for (const route of [{ view: 'chat', id: null }, { view: 'chat', id: 'a b/c' }, { view: 'models' }, { view: 'settings' }] as const) {
    expect(parseRoute(hrefOf(route))).toEqual(route);
  }
  expect(parseRoute('#/nowhere')).toEqual({ view: 'chat', id: null });
});

test('a token leaves the address and is kept for the tab alone', () => {
  location.hash = '#token=abc_DEF-123';
  takeTokenFromAddress();
  expect(location.href).not.toContain('abc_DEF');
  expect(settings.daemon.value.token).toBe('abc_DEF-123');
  expect(sessionStorage.getItem('lamina.token')).toContain('abc_DEF');
  expect(JSON.stringify({ ...localStorage })).not.toContain('abc_DEF');
});

test('a token is remembered only where that was asked for', () => {
  settings.daemon.value = { url: '', token: 'secret' };
  expect(localStorage.getItem('lamina.token')).toBeNull();
  settings.rememberToken.value = true;
  expect(localStorage.getItem('lamina.token')).toContain('secret');
  settings.rememberToken.value = false;
  expect(localStorage.getItem('lamina.token')).toBeNull();
});

test('damaged settings become the defaults', async () => {
  localStorage.setItem('lamina.theme', '"purple"');
  localStorage.setItem('lamina.sampling', '[]');
  localStorage.setItem('lamina.systemPrompt', '{');
  localStorage.setItem('lamina.telemetry', '"yes"');
  vi.resetModules();
  const fresh = await import('../../../www/app/state/settings.ts');
  expect(fresh.settings.theme.value).toBe('system');
  expect(fresh.settings.sampling.value).toEqual(DEFAULT_SAMPLING);
  expect(fresh.settings.systemPrompt.value).toBe('');
  expect(fresh.settings.telemetry.value).toBe(false);
});

test('only this page\'s own workers may be started', () => {
  const page = 'https://example.org/lamina/index.html#/chat';
  expect(ownScript('https://example.org/lamina/assets/engine/engine_worker.js', page)).not.toBeNull();
  expect(ownScript('sw.js', page)).toBe('https://example.org/lamina/sw.js');
  for (const other of [
    'https://evil.org/lamina/assets/engine/x.js', 'https://example.org/assets/engine/x.js', 'data:text/javascript,1',
    'blob:https://example.org/1', 'https://example.org/lamina/assets/other.js', 'javascript:1',
    'https://example.org/lamina/assets/engine/../../../x.js',
  ]) expect(ownScript(other, page)).toBeNull();
});

const message = (role: Message['role'], content: string, more: Partial<Message> = {}): Message =>
  ({ id: content, conversation: 'c', parent: null, role, content, created: 0, ...more });

test('a request has the branch, the system prompt and the settings', () => {
  const sampling = { ...DEFAULT_SAMPLING, maxTokens: 5, seed: 7, stop: 'END\n\nSTOP' };
  const request = requestFor([message('user', 'Hi')], '', false, 'Be kind.', sampling);
  expect(request.prompt).toEqual({ kind: 'messages', messages: [{ role: 'system', content: 'Be kind.' }, { role: 'user', content: 'Hi' }] });
  expect(request).toMatchObject({ seed: 7, maxTokens: 5, stop: ['END', 'STOP'], ignoreEos: false });
  expect(requestFor([message('user', 'Hi')], 'Once', false, ' ', sampling).prompt)
    .toEqual({ kind: 'messages', messages: [{ role: 'user', content: 'Hi' }], begun: 'Once' });
});

test('a model without a template goes on with the text', () => {
  expect(plainPrompt([message('user', 'Once'), message('assistant', 'upon')], '')).toBe('Once\n\nupon');
  expect(requestFor([message('user', 'Once')], ' upon', true, 'x', DEFAULT_SAMPLING).prompt).toEqual({ kind: 'text', text: 'Once upon' });
});

test('the gauge counts the last answer that tells', () => {
  const numbers = {
    engine: 'wasm', device: '', model: '', tokensPerSecond: 1, firstToken: 1, seconds: 1, tokens: 30, promptTokens: 12, cachedTokens: 0,
  } as const;
  expect(contextUsed([])).toBe(0);
  expect(contextUsed([message('user', 'a'), message('assistant', 'b', { numbers }), message('user', 'c')])).toBe(42);
});

test('WebAssembly is slow only where WebGPU was wanted', () => {
  const info = {
    engine: 'wasm', model: '', device: '', reason: '', fallbacks: [], contextSize: 1, threads: 1, hints: [],
    memory: { weights: 0, kv: 0, activations: 0 },
  } as const;
  expect(slowReason({ ...info, fallbacks: [], hints: [] })).toBeNull();
  const fallbacks = [{ from: 'webgpu' as const, to: 'wasm' as const, reason: 'no adapter' }];
  expect(slowReason({ ...info, fallbacks, hints: [] })).toBe('no adapter');
});

test('fields keep their ranges', () => {
  const range = { min: 0, max: 2, step: 0.05 };
  expect(clampTo(range, '0.7')).toBe(0.7);
  expect(clampTo(range, '9')).toBe(2);
  expect(clampTo(range, '')).toBeNull();
  expect(clampTo({ min: -1, max: 10, step: 1 }, '3.6')).toBe(4);
});

test('conversations are grouped by days of the calendar', () => {
  const now = new Date(2026, 10, 21, 12).getTime();
  const at = (hours: number): Conversation =>
    ({ id: String(hours), title: '', named: false, created: 0, updated: now - hours * 3_600_000, systemPrompt: '', leaf: null });
  const groups = groupByAge([at(1), at(13), at(60), at(24 * 40)], now);
  expect(groups.map(({ name }) => name)).toEqual(['sidebar.today', 'sidebar.yesterday', 'sidebar.week', 'sidebar.earlier']);
});

test('sentences take their values', () => {
  expect(t('engine.switched', { engine: 'WebGPU' })).toBe('Now on WebGPU');
  expect(plural('transfer.imported1', 'transfer.imported', 1)).toBe('One conversation was imported.');
  expect(plural('transfer.imported1', 'transfer.imported', 3)).toBe('3 conversations were imported.');
  expect(formatBytes(6_932_480)).toContain('6.9');
  expect(formatSeconds(0.42)).toBe('420 ms');
});
