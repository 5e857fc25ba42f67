// SPDX-License-Identifier: Apache-2.0
// The shown branch. It follows the answer for as long as the reader is at its end.

import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { messages, path } from '../state/conversations.ts';
import { t } from '../text/t.ts';
import { siblings } from '../state/tree.ts';
import { Icon } from '../ui/icons.tsx';
import { AnswerMessage } from './answer_message.tsx';
import { UserMessage } from './user_message.tsx';

const NEAR = 80; // pixels from the end that count as being there

export function MessageList() {
  const scroller = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLOListElement>(null);
  const atEnd = useSignal(true);
  const toEnd = () => {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  const shown = path.value;
  const lastId = shown.at(-1)?.id;
  useLayoutEffect(() => {
    atEnd.value = true;
    toEnd();
  }, [lastId]);
  useEffect(() => {
    if (!inner.current || !scroller.current) return;
    const grown = new ResizeObserver(() => atEnd.value && toEnd());
    grown.observe(inner.current);
    grown.observe(scroller.current);
    return () => grown.disconnect();
  }, []);
  // Only the reader's own scrolling lets go of the end: growth scrolls by itself.
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current as HTMLDivElement;
    atEnd.value = scrollHeight - scrollTop - clientHeight < NEAR;
  };
  return (
    <div class="messages-frame">
      <div class="messages" ref={scroller} onScroll={onScroll} tabIndex={0} role="region" aria-label={t('chat.conversation')}>
        <ol ref={inner}>
          {shown.map((message, i) => {
            const branches = siblings(messages.value, message);
            return message.role === 'user'
              ? <UserMessage key={message.id} message={message} branches={branches} />
              : <AnswerMessage key={message.id} message={message} branches={branches} isLast={i === shown.length - 1} />;
          })}
        </ol>
      </div>
      {!atEnd.value && (
        <button
          type="button" class="to-end" aria-label={t('chat.latest')} title={t('chat.latest')}
          onClick={() => (atEnd.value = true, toEnd())}
        >
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}
