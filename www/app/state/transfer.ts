// SPDX-License-Identifier: Apache-2.0
// Conversations to and from files: JSON with everything, Markdown for people.

import { t } from '../text/t.ts';
import { addWhole, newId, titleFrom } from './conversations.ts';
import { getMessages, type AnswerNumbers, type Conversation, type Message } from './db.ts';
import { pathTo } from './tree.ts';

const FORMAT = 'lamina-conversations';
const MOST_BYTES = 64 << 20;
const MOST_MESSAGES = 100_000;

export interface Whole {
  conversation: Conversation;
  messages: Message[];
}

export function toJson(all: readonly Whole[]): string {
  return `${JSON.stringify({ format: FORMAT, version: 1, conversations: all }, null, 2)}\n`;
}

/** The branch that is shown. */
export function toMarkdown({ conversation, messages }: Whole): string {
  const path = pathTo(new Map(messages.map((one) => [one.id, one])), conversation.leaf);
  const parts = [`# ${conversation.title.replace(/\s+/g, ' ')}`];
  if (conversation.systemPrompt) parts.push(`> ${conversation.systemPrompt.replaceAll('\n', '\n> ')}`);
  for (const { role, content } of path) {
    parts.push(`## ${t(role === 'user' ? 'chat.you' : 'chat.model')}`, content.trim());
  }
  return `${parts.join('\n\n')}\n`;
}

// --- reading, from whoever wrote it ---

type Fields = Record<string, unknown>;

class Unreadable extends Error {}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Unreadable(t('transfer.notThis', { what }));
  return value as Fields;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const time = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : Date.now());
const count = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0);
const ENDS = new Set(['done', 'stopped', 'length', 'context', 'failed', 'unfinished']);

function readNumbers(value: unknown): AnswerNumbers | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const n = value as Fields;
  const { engine } = n;
  if (engine !== 'webgpu' && engine !== 'wasm' && engine !== 'daemon') return undefined;
  return {
    engine, device: text(n['device']), model: text(n['model']), tokensPerSecond: count(n['tokensPerSecond']),
    firstToken: count(n['firstToken']), seconds: count(n['seconds']), tokens: count(n['tokens']),
    promptTokens: count(n['promptTokens']), cachedTokens: count(n['cachedTokens']),
  };
}

// Ids are made anew: an import never writes over what is there.
function readWhole(value: unknown, at: string): Whole {
  const root = fieldsOf(value, at);
  const head = fieldsOf(root['conversation'], `${at}.conversation`);
  const list = root['messages'];
  if (!Array.isArray(list) || list.length > MOST_MESSAGES) throw new Unreadable(t('transfer.notThis', { what: `${at}.messages` }));
  const id = newId();
  const ids = new Map<string, string>(list.map((one, i) => [text(fieldsOf(one, `${at}.messages[${i}]`)['id']), newId()]));
  const messages = list.map((one): Message => {
    const fields = one as Fields;
    const end = text(fields['end']);
    const numbers = readNumbers(fields['numbers']);
    return {
      id: ids.get(text(fields['id'])) ?? newId(), conversation: id, parent: ids.get(text(fields['parent'])) ?? null,
      role: fields['role'] === 'user' ? 'user' : 'assistant', content: text(fields['content']), created: time(fields['created']),
      ...(ENDS.has(end) ? { end: end as NonNullable<Message['end']> } : {}), ...(numbers ? { numbers } : {}),
    };
  });
  const leaf = ids.get(text(head['leaf'])) ?? messages.at(-1)?.id ?? null;
  return {
    conversation: {
      id, title: text(head['title']).slice(0, 200) || titleFrom(messages[0]?.content ?? ''), named: head['named'] === true,
      created: time(head['created']), updated: time(head['updated']), systemPrompt: text(head['systemPrompt']), leaf,
    },
    messages,
  };
}

/** Errors: one that says what is wrong with the file. */
export function fromJson(source: string): Whole[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(source);
  } catch {
    throw new Unreadable(t('transfer.notJson'));
  }
  const root = fieldsOf(parsed, 'file');
  const all = root['conversations'];
  if (root['format'] !== FORMAT || !Array.isArray(all)) throw new Unreadable(t('transfer.notOurs'));
  return all.map((one, i) => readWhole(one, `conversations[${i}]`));
}

/** How many came. Errors: as fromJson(). */
export async function importFile(file: File): Promise<number> {
  if (file.size > MOST_BYTES) throw new Unreadable(t('transfer.tooLarge'));
  const all = fromJson(await file.text());
  for (const { conversation, messages } of all) await addWhole(conversation, messages);
  return all.length;
}

// --- to disk ---

const wholeOf = async (conversation: Conversation): Promise<Whole> => ({
  conversation, messages: await getMessages(conversation.id),
});

function fileName(title: string, ending: string): string {
  const plain = title.normalize('NFKD').replace(/[^\p{L}\p{N} _-]+/gu, '').trim().replace(/\s+/g, '-').slice(0, 60);
  return `${plain || 'conversation'}.${ending}`;
}

export function saveFile(name: string, type: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export async function saveJson(rows: readonly Conversation[]): Promise<void> {
  const name = rows.length === 1 ? fileName(rows[0]?.title ?? '', 'json') : 'lamina-conversations.json';
  saveFile(name, 'application/json', toJson(await Promise.all(rows.map(wholeOf))));
}

export async function saveMarkdown(rows: readonly Conversation[]): Promise<void> {
  const name = rows.length === 1 ? fileName(rows[0]?.title ?? '', 'md') : 'lamina-conversations.md';
  const parts = await Promise.all(rows.map(wholeOf));
  saveFile(name, 'text/markdown', parts.map(toMarkdown).join('\n---\n\n'));
}
