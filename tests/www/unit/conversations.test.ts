// SPDX-License-Identifier: Apache-2.0
import 'fake-indexeddb/auto';
import { beforeEach, expect, test } from 'vitest';
import {
  addMessage, addWhole, changeConversation, conversations, current, loadList, messages, newId, openConversation, path,
  removeConversation, showBranch, startConversation, titleFrom,
} from '../../../www/app/state/conversations.ts';
import { getConversation, getMessages, listConversations, searchMessages, type Message } from '../../../www/app/state/db.ts';
import { fromJson, toJson, toMarkdown } from '../../../www/app/state/transfer.ts';

const said = (conversation: string, parent: string | null, role: Message['role'], content: string): Message =>
  ({ id: newId(), conversation, parent, role, content, created: Date.now() });

async function small() {
  const made = await startConversation('Tell me of an owl', 'Be brief.');
  const question = said(made.id, null, 'user', 'Tell me of an owl');
  await addMessage(question);
  const answer = said(made.id, question.id, 'assistant', 'It *flew*.');
  await addMessage(answer);
  return { made, question, answer };
}

beforeEach(async () => {
  for (const { id } of await listConversations()) await removeConversation(id);
  await openConversation(null);
  await loadList();
});

test('what is said is there after the page is loaded anew', async () => {
  const { made, question, answer } = await small();
  await openConversation(null);
  expect(path.value).toEqual([]);
  expect(await openConversation(made.id)).toBe(true);
  expect(path.value.map(({ id }) => id)).toEqual([question.id, answer.id]);
  expect(current.value?.systemPrompt).toBe('Be brief.');
});

test('one that is not there cannot be opened', async () => {
  expect(await openConversation('nobody')).toBe(false);
});

test('another answer is a branch, and the old one is still there', async () => {
  const { made, question, answer } = await small();
  const other = said(made.id, question.id, 'assistant', 'It slept.');
  await addMessage(other);
  expect(path.value.at(-1)?.id).toBe(other.id);
  await showBranch(answer.id);
  expect(path.value.at(-1)?.id).toBe(answer.id);
  expect((await getConversation(made.id))?.leaf).toBe(answer.id);
});

test('search looks into messages, in any case', async () => {
  const { made } = await small();
  expect([...(await searchMessages('FLEW'))]).toEqual([made.id]);
  expect((await searchMessages('badger')).size).toBe(0);
});

test('what is deleted is gone with its messages, and can be brought back', async () => {
  const { made } = await small();
  const kept = await getMessages(made.id);
  await removeConversation(made.id);
  expect(conversations.value).toEqual([]);
  expect(await getMessages(made.id)).toEqual([]);
  await addWhole(made, kept);
  expect((await getMessages(made.id)).length).toBe(2);
});

test('the newest is first', async () => {
  const first = (await small()).made;
  const second = await startConversation('Another');
  await changeConversation(first.id, { updated: second.updated + 10 });
  expect(conversations.value[0]?.id).toBe(first.id);
});

test('a file has everything, and comes in with new ids', async () => {
  const { made } = await small();
  const text = toJson([{ conversation: current.value ?? made, messages: await getMessages(made.id) }]);
  const [read] = fromJson(text);
  expect(read?.conversation.id).not.toBe(made.id);
  expect(read?.conversation.title).toBe(made.title);
  expect(read?.messages.map(({ content }) => content).sort()).toEqual(['It *flew*.', 'Tell me of an owl']);
  await addWhole(read!.conversation, read!.messages);
  await openConversation(read!.conversation.id);
  expect(path.value.map(({ role }) => role)).toEqual(['user', 'assistant']);
});

test('Markdown has the branch that is shown', async () => {
  const { made } = await small();
  const text = toMarkdown({ conversation: current.value ?? made, messages: [...messages.value.values()] });
  expect(text).toContain('# Tell me of an owl');
  expect(text.indexOf('Tell me of an owl\n\n## Model')).toBeGreaterThan(0);
  expect(text).toContain('It *flew*.');
});

test.each([
  ['not json', 'no'], ['a list', '[]'], ['another format', '{"format":"x"}'],
  ['no conversations', '{"format":"lamina-conversations","version":1}'],
  ['a conversation that is none', '{"format":"lamina-conversations","version":1,"conversations":[3]}'],
  ['messages that are none', '{"format":"lamina-conversations","version":1,"conversations":[{"conversation":{},"messages":{}}]}'],
  ['a message that is none', '{"format":"lamina-conversations","version":1,"conversations":[{"conversation":{},"messages":[null]}]}'],
])('a file with %s is refused in words', (_, text) => {
  expect(() => fromJson(text)).toThrow(/This file/);
});

test('strange fields of a file become harmless ones', () => {
  const [read] = fromJson(JSON.stringify({
    format: 'lamina-conversations', version: 1,
    conversations: [{
      conversation: { title: 5, created: 'x', leaf: {} },
      messages: [{ id: 'm', role: 'system', content: 7, parent: 'm', end: 'exploded', numbers: { engine: 'abacus' } }],
    }],
  }));
  expect(read?.messages[0]).toMatchObject({ role: 'assistant', content: '' });
  expect(read?.messages[0]?.end).toBeUndefined();
  expect(read?.messages[0]?.numbers).toBeUndefined();
});

test('titles are cut at a word', () => {
  expect(titleFrom('  a\n b ')).toBe('a b');
  const long = titleFrom('word '.repeat(40));
  expect(long.length).toBeLessThanOrEqual(61);
  expect(long.endsWith('word…')).toBe(true);
});
