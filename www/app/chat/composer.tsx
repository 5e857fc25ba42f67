// SPDX-License-Identifier: Apache-2.0
// The field to write in, with send or stop, the conversation's settings and the context gauge.

import { signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { answering } from '../state/answering.ts';
import { plainModels } from '../state/answer.ts';
import { send, stop } from '../state/chat.ts';
import { engineState, loadEngine } from '../state/engine.ts';
import { t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';
import { ContextGauge } from './context_gauge.tsx';
import { fitHeight } from './fit_height.ts';
import { prepareMarkdown } from './markdown_view.tsx';
import { OptionsDialog } from './options_dialog.tsx';

// What is written but not sent stays when the view changes.
const draft = signal('');

export function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const optionsOpen = useSignal(false);
  useEffect(() => {
    const element = field.current;
    if (!element) return;
    fitHeight(element);
    if (matchMedia('(hover: hover)').matches) element.focus({ preventScroll: true });
    prepareMarkdown();
  }, []);
  const submit = () => {
    const text = draft.value;
    if (text.trim() === '' || answering.value) return;
    draft.value = '';
    if (field.current) field.current.style.height = '';
    void send(text);
  };
  // Whoever begins to write will want an answer.
  const onInput = (element: HTMLTextAreaElement) => {
    draft.value = element.value;
    fitHeight(element);
    if (engineState.value.status === 'none') void loadEngine().catch(() => {});
  };
  const plain = plainModels.value.has(engineState.value.info?.model ?? '');
  const busy = answering.value !== null;
  return (
    <div class="composer">
      <form class="composer-box" onSubmit={(event) => (event.preventDefault(), submit())}>
        <textarea
          ref={field} rows={1} value={draft.value} aria-label={t('chat.messageField')} enterkeyhint="send"
          placeholder={plain ? t('chat.placeholderPlain') : t('chat.placeholder')}
          onInput={(event) => onInput(event.currentTarget)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            submit();
          }}
        />
        <div class="composer-row">
          <button
            type="button" class="icon-button" aria-label={t('chat.options')} title={t('chat.options')}
            aria-haspopup="dialog" onClick={() => (optionsOpen.value = true)}
          >
            <Icon name="sliders" />
          </button>
          <ContextGauge />
          <span class="keys" aria-hidden="true">{t('chat.keys')}</span>
          {busy
            ? <button type="button" class="send" aria-label={t('chat.stop')} title={t('chat.stop')} onClick={stop}><Icon name="stop" /></button>
            : <button type="submit" class="send" aria-label={t('chat.send')} title={t('chat.send')} disabled={draft.value.trim() === ''}><Icon name="send" /></button>}
        </div>
      </form>
      {optionsOpen.value && <OptionsDialog onClose={() => (optionsOpen.value = false)} />}
    </div>
  );
}
