// SPDX-License-Identifier: Apache-2.0
// A conversation's messages as a tree: the branch that is shown, and the ones beside it.

import type { Message } from './db.ts';

export type MessageMap = ReadonlyMap<string, Message>;

/** From the first message to `leaf`. A parent that is missing, or its own, ends it. */
export function pathTo(messages: MessageMap, leaf: string | null): Message[] {
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let id = leaf; id !== null && !seen.has(id);) {
    seen.add(id);
    const message = messages.get(id);
    if (!message) break;
    path.push(message);
    id = message.parent;
  }
  return path.reverse();
}

/** With the same parent and role, oldest first; `of` is among them. */
export function siblings(messages: MessageMap, of: Message): Message[] {
  return [...messages.values()]
    .filter((one) => one.parent === of.parent && one.role === of.role)
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

/** The end of the newest branch below `id`. */
export function newestLeaf(messages: MessageMap, id: string): string {
  const children = new Map<string, Message[]>();
  for (const message of messages.values()) {
    if (message.parent === null) continue;
    const those = children.get(message.parent);
    if (those) those.push(message);
    else children.set(message.parent, [message]);
  }
  const seen = new Set<string>();
  for (let at = id; ;) {
    seen.add(at);
    const next = (children.get(at) ?? []).reduce<Message | undefined>(
      (newest, one) => (!newest || one.created >= newest.created ? one : newest), undefined);
    if (!next || seen.has(next.id)) return at;
    at = next.id;
  }
}
