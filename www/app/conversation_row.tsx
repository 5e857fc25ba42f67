// SPDX-License-Identifier: Apache-2.0
// One conversation in the sidebar: open, rename, export, delete.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { go, hrefOf } from './router.ts';
import { addWhole, changeConversation, removeConversation } from './state/conversations.ts';
import { getMessages, type Conversation } from './state/db.ts';
import { saveJson, saveMarkdown } from './state/transfer.ts';
import { toast } from './state/toasts.ts';
import { t } from './text/t.ts';
import { Icon } from './ui/icons.tsx';
import { Menu, type MenuItem } from './ui/menu.tsx';

// Undone within the toast's time; so nobody is asked first.
async function remove(row: Conversation, here: boolean): Promise<void> {
  const messages = await getMessages(row.id);
  await removeConversation(row.id);
  if (here) go({ view: 'chat', id: null });
  toast(t('sidebar.deleted', { title: row.title }), {
    seconds: 10,
    action: { label: t('ui.undo'), run: () => void addWhole(row, messages) },
  });
}

export function ConversationRow({ row, here }: { row: Conversation; here: boolean }) {
  const [renaming, setRenaming] = useState(false);
  const items: MenuItem[] = [
    { label: t('sidebar.rename'), icon: 'edit', run: () => setRenaming(true) },
    { label: t('sidebar.exportMarkdown'), icon: 'download', run: () => void saveMarkdown([row]) },
    { label: t('sidebar.exportJson'), icon: 'download', run: () => void saveJson([row]) },
    { label: t('sidebar.delete'), icon: 'trash', danger: true, run: () => void remove(row, here) },
  ];
  return (
    <li class={here ? 'conversation here' : 'conversation'}>
      {renaming
        ? <RenameField row={row} onDone={() => setRenaming(false)} />
        : <a href={hrefOf({ view: 'chat', id: row.id })} aria-current={here ? 'page' : undefined} title={row.title}>{row.title}</a>}
      {!renaming && <Menu label={t('sidebar.actionsOf', { title: row.title })} items={items} className="icon-button small"><Icon name="more" size={18} /></Menu>}
    </li>
  );
}

function RenameField({ row, onDone }: { row: Conversation; onDone: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    input.current?.focus();
    input.current?.select();
  }, []);
  const save = () => {
    const title = input.current?.value.trim();
    if (title && title !== row.title) void changeConversation(row.id, { title: title.slice(0, 200), named: true });
    onDone();
  };
  return (
    <input
      ref={input} class="rename" defaultValue={row.title} aria-label={t('sidebar.rename')} maxLength={200} onBlur={save}
      onKeyDown={(event) => {
        if (event.key === 'Enter') save();
        if (event.key !== 'Escape') return;
        event.stopPropagation();
        onDone();
      }}
    />
  );
}
