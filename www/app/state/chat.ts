// SPDX-License-Identifier: Apache-2.0
// What a user does in a conversation: send, stop, regenerate, edit, continue.

import { effect } from '@preact/signals';
import { go, route } from '../router.ts';
import { answer, stopAnswer } from './answer.ts';
import { answering } from './answering.ts';
import { addMessage, current, messages, newId, openConversation, path, startConversation } from './conversations.ts';
import type { Message } from './db.ts';

// An empty chat is open as soon as the address says so. Views follow later, and whoever is quick has
// begun to talk by then.
effect(() => {
  if (route.value.view === 'chat' && route.value.id === null) void openConversation(null);
});

function newMessage(conversation: string, parent: string | null, role: Message['role'], content: string): Message {
  return { id: newId(), conversation, parent, role, content, created: Date.now() };
}

async function answerTo(question: Message): Promise<void> {
  const reply = newMessage(question.conversation, question.id, 'assistant', '');
  answering.value = { conversation: reply.conversation, message: reply.id };
  try {
    await addMessage({ ...reply, end: 'unfinished' });
  } catch (thrown) {
    answering.value = null;
    throw thrown;
  }
  await answer(reply.id, { begun: '' });
}

/** Starts a conversation where none is open. */
export async function send(text: string): Promise<void> {
  if (text.trim() === '' || answering.value) return;
  const open = current.value ?? (await startConversation(text));
  const question = newMessage(open.id, path.value.at(-1)?.id ?? null, 'user', text);
  await addMessage(question);
  go({ view: 'chat', id: open.id });
  await answerTo(question);
}

export const stop = stopAnswer;

/** Another answer to the same question, beside the one there is. */
export async function regenerate(id: string): Promise<void> {
  const question = messages.value.get(messages.value.get(id)?.parent ?? '');
  if (question && !answering.value) await answerTo(question);
}

/** The question in other words, and its answer, as a branch beside the old one. */
export async function edit(id: string, text: string): Promise<void> {
  const old = messages.value.get(id);
  if (!old || answering.value || text.trim() === '') return;
  const question = newMessage(old.conversation, old.parent, 'user', text);
  await addMessage(question);
  await answerTo(question);
}

/** The same answer goes on where it ended. */
export async function continueAnswer(id: string): Promise<void> {
  const old = messages.value.get(id);
  if (old && !answering.value) await answer(id, { begun: old.content });
}
