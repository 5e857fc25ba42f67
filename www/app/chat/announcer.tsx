// SPDX-License-Identifier: Apache-2.0
// Tells the answer to screen readers by sentences, unhurried, in place of every token.

import { useEffect, useRef } from 'preact/hooks';
import { answering } from '../state/answering.ts';
import { messages } from '../state/conversations.ts';
import { liveTextOf } from '../state/live.ts';
import { t } from '../text/t.ts';
import { SentenceReader } from './sentences.ts';

const PAUSE_MS = 1500;
const MOST_SAID = 12; // paragraphs in the region

function say(region: HTMLElement | null, text: string): void {
  if (!region || text === '') return;
  const line = document.createElement('p');
  line.textContent = text;
  region.append(line);
  while (region.childElementCount > MOST_SAID) region.firstElementChild?.remove();
}

export function Announcer() {
  const region = useRef<HTMLDivElement>(null);
  const id = answering.value?.message ?? null;
  useEffect(() => {
    if (id === null) return;
    const reader = new SentenceReader(liveTextOf(id)?.length ?? 0);
    say(region.current, t('chat.begins'));
    const timer = setInterval(() => say(region.current, reader.next(liveTextOf(id) ?? '', false)), PAUSE_MS);
    return () => {
      clearInterval(timer);
      const message = messages.value.get(id);
      say(region.current, reader.next(message?.content ?? '', true));
      if (message?.end !== 'failed') say(region.current, t(message?.end === 'stopped' ? 'chat.doneStopped' : 'chat.done'));
    };
  }, [id]);
  return <div class="unseen" ref={region} role="log" aria-live="polite" aria-relevant="additions" aria-label={t('chat.answer')} />;
}
