// SPDX-License-Identifier: Apache-2.0
// Conversations in IndexedDB. Messages make a tree by their parents: what was edited or regenerated
// is beside what there was.

import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { EngineKind } from '@lamina/engine';

/** As a row of the list shows it. Times are milliseconds since 1970. */
export interface Conversation {
  id: string;
  title: string;
  /** Whether the user gave the title. */
  named: boolean;
  created: number;
  updated: number;
  systemPrompt: string;
  /** The last message of the branch that is shown. */
  leaf: string | null;
}

export interface AnswerNumbers {
  engine: EngineKind;
  /** Where it began, if it ended elsewhere. */
  begunOn?: EngineKind;
  device: string;
  model: string;
  /** Per second, after the first token. */
  tokensPerSecond: number;
  /** Seconds. */
  firstToken: number;
  seconds: number;
  tokens: number;
  promptTokens: number;
  cachedTokens: number;
}

export interface Message {
  id: string;
  conversation: string;
  parent: string | null;
  role: 'user' | 'assistant';
  content: string;
  created: number;
  /** Of an answer: how it ended, or that it was not seen to end. */
  end?: 'done' | 'stopped' | 'length' | 'context' | 'failed' | 'unfinished';
  error?: string;
  numbers?: AnswerNumbers;
}

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation; indexes: { updated: number } };
  messages: { key: string; value: Message; indexes: { conversation: string } };
}

let opened: Promise<IDBPDatabase<Schema>> | undefined;

function db(): Promise<IDBPDatabase<Schema>> {
  opened ??= openDB<Schema>('lamina-chat', 1, {
    upgrade(base) {
      base.createObjectStore('conversations', { keyPath: 'id' }).createIndex('updated', 'updated');
      base.createObjectStore('messages', { keyPath: 'id' }).createIndex('conversation', 'conversation');
    },
    terminated: () => (opened = undefined),
  });
  opened.catch(() => (opened = undefined));
  return opened;
}

/** Newest first. */
export async function listConversations(): Promise<Conversation[]> {
  return (await (await db()).getAllFromIndex('conversations', 'updated')).reverse();
}

export async function getConversation(id: string): Promise<Conversation | undefined> {
  return (await db()).get('conversations', id);
}

export async function getMessages(conversation: string): Promise<Message[]> {
  return (await db()).getAllFromIndex('messages', 'conversation', conversation);
}

export async function putConversation(one: Conversation): Promise<void> {
  await (await db()).put('conversations', one);
}

export async function putMessage(one: Message): Promise<void> {
  await (await db()).put('messages', one);
}

/** All or nothing. */
export async function putWhole(one: Conversation, messages: readonly Message[]): Promise<void> {
  const write = (await db()).transaction(['conversations', 'messages'], 'readwrite');
  await Promise.all([
    write.objectStore('conversations').put(one),
    ...messages.map((message) => write.objectStore('messages').put(message)),
    write.done,
  ]);
}

export async function deleteConversation(id: string): Promise<void> {
  const write = (await db()).transaction(['conversations', 'messages'], 'readwrite');
  const messages = write.objectStore('messages');
  const keys = await messages.index('conversation').getAllKeys(id);
  await Promise.all([
    write.objectStore('conversations').delete(id), ...keys.map((key) => messages.delete(key)), write.done,
  ]);
}

/** Of the conversations that have `text` in a message, in any case. */
export async function searchMessages(text: string): Promise<Set<string>> {
  const found = new Set<string>();
  const wanted = text.toLocaleLowerCase();
  const read = (await db()).transaction('messages');
  for await (const { value } of read.store) {
    if (!found.has(value.conversation) && value.content.toLocaleLowerCase().includes(wanted)) {
      found.add(value.conversation);
    }
  }
  return found;
}

/** For tests. */
export async function closeDb(): Promise<void> {
  (await opened)?.close();
  opened = undefined;
}
