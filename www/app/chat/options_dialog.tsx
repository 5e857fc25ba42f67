// SPDX-License-Identifier: Apache-2.0
// The system prompt of this conversation, and how words are chosen.

import { plainModels } from '../state/answer.ts';
import { changeConversation, current } from '../state/conversations.ts';
import { engineState } from '../state/engine.ts';
import { settings } from '../state/settings.ts';
import { SamplingFields } from '../settings/sampling_fields.tsx';
import { t } from '../text/t.ts';
import { Dialog } from '../ui/dialog.tsx';

export function OptionsDialog({ onClose }: { onClose: () => void }) {
  const open = current.value;
  const plain = plainModels.value.has(engineState.value.info?.model ?? '');
  const save = (text: string) => {
    if (open) void changeConversation(open.id, { systemPrompt: text });
    else settings.systemPrompt.value = text;
  };
  return (
    <Dialog
      title={t('chat.options')} onClose={onClose}
      actions={<button type="button" class="button primary" onClick={onClose}>{t('ui.done')}</button>}
    >
      <label class="field">
        <span class="field-name">{t('chat.systemPrompt')}</span>
        <textarea
          rows={3} value={open ? open.systemPrompt : settings.systemPrompt.value}
          onInput={(event) => save(event.currentTarget.value)} aria-describedby="system-hint"
        />
        <small id="system-hint">{plain ? t('chat.systemUnused') : t('chat.systemHint')}</small>
      </label>
      <h3 class="field-group">{t('sampling.title')}</h3>
      <SamplingFields />
    </Dialog>
  );
}
