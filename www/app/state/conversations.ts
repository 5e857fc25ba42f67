// SPDX-License-Identifier: Apache-2.0
// The list of conversations, and the one that is open with its messages: no other is in memory.

import { computed, signal } from '@preact/signals';
import { t } from '../text/t.ts';
import {
  deleteConversation, getConversation, getMessages, listConversations, putConversation, putMessage,
  putWhole, type Conversation, type Message,
} from './db.ts';
import { settings } from './settings.ts';
import { newestLeaf, pathTo, type MessageMap } from './tree.ts';

export const conversations = signal<readonly Conversation[]>([]);
export const current = signal<Conversation | null>(null);
export const messages = signal<MessageMap>(new Map());
/** The branch that is shown. */
export const path = computed(() => pathTo(messages.value, current.value?.leaf ?? null));

const TITLE_LENGTH = 60;

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, '0')).join('');
}

export async function loadList(): Promise<void> {
  conversations.value = await listConversations();
}

/** Null: an empty one, which is stored with its first message. False where there is none of `id`. */
export async function openConversation(id: string | null): Promise<boolean> {
  if (id === null) {
    current.value = null;
    messages.value = new Map();
    return true;
  }
  if (current.value?.id === id) return true;
  const [found, all] = await Promise.all([getConversation(id), getMessages(id)]);
  if (!found) return false;
  messages.value = new Map(all.map((message) => [message.id, message]));
  current.value = found;
  return true;
}

/** A title out of the first words. */
export function titleFrom(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  if (line === '') return t('chat.untitled');
  if (line.length <= TITLE_LENGTH) return line;
  const cut = line.slice(0, TITLE_LENGTH);
  return `${cut.slice(0, Math.max(20, cut.lastIndexOf(' '))).trimEnd()}…`;
}

export async function startConversation(firstText: string, systemPrompt = settings.systemPrompt.value): Promise<Conversation> {
  const now = Date.now();
  const made: Conversation = {
    id: newId(), title: titleFrom(firstText), named: false, created: now, updated: now, systemPrompt, leaf: null,
  };
  await putConversation(made);
  messages.value = new Map();
  current.value = made;
  conversations.value = [made, ...conversations.value];
  return made;
}

export async function changeConversation(id: string, change: Partial<Omit<Conversation, 'id'>>): Promise<void> {
  const known = current.value?.id === id ? current.value : conversations.value.find((one) => one.id === id);
  if (!known) return;
  const changed = { ...known, ...change };
  if (current.value?.id === id) current.value = changed;
  conversations.value = conversations.value
    .map((one) => (one.id === id ? changed : one))
    .sort((a, b) => b.updated - a.updated);
  await putConversation(changed);
}

/** Stores the message at the end of its branch, and shows that branch. */
export async function addMessage(message: Message): Promise<void> {
  setMessage(message);
  await putMessage(message);
  await changeConversation(message.conversation, { leaf: message.id, updated: Date.now() });
}

/** In memory, where its conversation is the open one. */
export function setMessage(message: Message): void {
  if (current.value?.id !== message.conversation) return;
  messages.value = new Map(messages.value).set(message.id, message);
}

export async function showBranch(id: string): Promise<void> {
  const open = current.value;
  if (open) await changeConversation(open.id, { leaf: newestLeaf(messages.value, id) });
}

export async function removeConversation(id: string): Promise<void> {
  await deleteConversation(id);
  conversations.value = conversations.value.filter((one) => one.id !== id);
  if (current.value?.id === id) await openConversation(null);
}

/** For what was imported or brought back. */
export async function addWhole(one: Conversation, all: readonly Message[]): Promise<void> {
  await putWhole(one, all);
  await loadList();
}
