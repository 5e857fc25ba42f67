// SPDX-License-Identifier: Apache-2.0
// All conversations to and from files, and away.

import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { conversations, removeConversation } from '../state/conversations.ts';
import { listConversations } from '../state/db.ts';
import { toast } from '../state/toasts.ts';
import { importFile, saveJson, saveMarkdown } from '../state/transfer.ts';
import { plural, t } from '../text/t.ts';
import { ConfirmDialog } from '../ui/dialog.tsx';
import { Icon } from '../ui/icons.tsx';
import { SettingsGroup } from './settings_view.tsx';

async function take(input: HTMLInputElement): Promise<void> {
  const file = input.files?.[0];
  input.value = '';
  if (!file) return;
  try {
    toast(plural('transfer.imported1', 'transfer.imported', await importFile(file)));
  } catch (thrown) {
    toast(thrown instanceof Error ? thrown.message : String(thrown), { kind: 'error', seconds: 12 });
  }
}

async function removeAll(): Promise<void> {
  for (const { id } of await listConversations()) await removeConversation(id);
}

export function ConversationsSettings() {
  const input = useRef<HTMLInputElement>(null);
  const asking = useSignal(false);
  const none = conversations.value.length === 0;
  return (
    <SettingsGroup title="settings.conversations">
      <p class="hint">{t('settings.conversationsHint')}</p>
      <div class="buttons">
        <button type="button" class="button" disabled={none} onClick={() => void saveJson(conversations.value)}><Icon name="download" /> {t('settings.exportJson')}</button>
        <button type="button" class="button" disabled={none} onClick={() => void saveMarkdown(conversations.value)}><Icon name="download" /> {t('settings.exportMarkdown')}</button>
        <button type="button" class="button" onClick={() => input.current?.click()}><Icon name="upload" /> {t('settings.import')}</button>
        <button type="button" class="button danger-text" disabled={none} onClick={() => (asking.value = true)}><Icon name="trash" /> {t('settings.deleteAll')}</button>
      </div>
      <input
        ref={input} class="unseen" type="file" accept="application/json,.json" tabIndex={-1} aria-label={t('settings.import')}
        onChange={(event) => void take(event.currentTarget)}
      />
      {asking.value && (
        <ConfirmDialog
          title={t('settings.deleteAll')} text={t('settings.deleteAllText')} confirm={t('sidebar.delete')}
          onConfirm={() => void removeAll()} onClose={() => (asking.value = false)}
        />
      )}
    </SettingsGroup>
  );
}
