// SPDX-License-Identifier: Apache-2.0
// A conversation: its messages, or how to begin, and the field to write in.

import { useEffect, useState } from 'preact/hooks';
import { copyOnClick } from '../markdown/code_bar.ts';
import { go } from '../router.ts';
import { answering } from '../state/answering.ts';
import { stop } from '../state/chat.ts';
import { current, openConversation, path } from '../state/conversations.ts';
import { toast } from '../state/toasts.ts';
import { t } from '../text/t.ts';
import { Announcer } from './announcer.tsx';
import { Composer } from './composer.tsx';
import { EmptyChat } from './empty_chat.tsx';
import { MessageList } from './message_list.tsx';
import { SlowNotice } from './slow_notice.tsx';

function useConversation(id: string | null): boolean {
  const [opened, setOpened] = useState<string | null>(null);
  useEffect(() => {
    if (id === null) return; // state/chat.ts has opened it
    let here = true;
    openConversation(id).then((found) => {
      if (!here) return;
      setOpened(id);
      if (found) return;
      toast(t('chat.notFound'));
      go({ view: 'chat', id: null }, { replace: true });
    }, (thrown: unknown) => here && toast(String(thrown), { kind: 'error' }));
    return () => {
      here = false;
    };
  }, [id]);
  return id === null || opened === id || current.value?.id === id;
}

function useEscapeStops(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && !event.defaultPrevented && answering.value) stop();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

export function ChatView({ id }: { id: string | null }) {
  const ready = useConversation(id);
  useEscapeStops();
  const empty = id === null || (ready && path.value.length === 0);
  return (
    <div class={empty ? 'chat begins' : 'chat'} onClick={copyOnClick}>
      <h1 class="unseen">{current.value?.title ?? t('nav.chat')}</h1>
      {empty ? <EmptyChat /> : ready ? <MessageList key={id} /> : <div class="view-waits" aria-busy="true" />}
      <SlowNotice />
      <Composer key={id ?? 'new'} />
      <Announcer />
    </div>
  );
}
