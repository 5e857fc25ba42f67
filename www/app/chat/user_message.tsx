// SPDX-License-Identifier: Apache-2.0
// What the user wrote: copy, edit into a new branch.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { answering } from '../state/answering.ts';
import { edit } from '../state/chat.ts';
import type { Message } from '../state/db.ts';
import { t } from '../text/t.ts';
import { ActionButton, CopyButton } from './action_button.tsx';
import { Branches } from './branches.tsx';
import { fitHeight } from './fit_height.ts';

export function UserMessage({ message, branches }: { message: Message; branches: readonly Message[] }) {
  const [editing, setEditing] = useState(false);
  const article = useRef<HTMLLIElement>(null);
  const done = () => {
    setEditing(false);
    requestAnimationFrame(() => article.current?.querySelector<HTMLElement>('[data-action=edit]')?.focus());
  };
  return (
    <li class="message user" ref={article}>
      <article aria-label={t('chat.yourMessage')}>
        {editing
          ? <EditField message={message} onDone={done} />
          : <div class="bubble">{message.content}</div>}
        {!editing && (
          <div class="actions">
            <Branches message={message} branches={branches} />
            <CopyButton text={() => message.content} />
            <ActionButton
              label={t('chat.edit')} icon="edit" action="edit" disabled={answering.value !== null} onClick={() => setEditing(true)}
            />
          </div>
        )}
      </article>
    </li>
  );
}

function EditField({ message, onDone }: { message: Message; onDone: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return;
    element.focus();
    element.setSelectionRange(element.value.length, element.value.length);
    fitHeight(element);
  }, []);
  const save = () => {
    const text = field.current?.value ?? '';
    onDone();
    void edit(message.id, text);
  };
  return (
    <div class="edit">
      <textarea
        ref={field} class="edit-field" aria-label={t('chat.editField')} defaultValue={message.content}
        onInput={(event) => fitHeight(event.currentTarget)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') {
            event.preventDefault();
            onDone();
          } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            save();
          }
        }}
      />
      <div class="edit-actions">
        <button type="button" class="button quiet" onClick={onDone}>{t('ui.cancel')}</button>
        <button type="button" class="button primary" onClick={save}>{t('chat.editSend')}</button>
      </div>
    </div>
  );
}
