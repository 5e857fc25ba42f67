// SPDX-License-Identifier: Apache-2.0
// An answer: its text, how it ended, its numbers, and what can be done with it.

import { answering } from '../state/answering.ts';
import { continueAnswer, regenerate } from '../state/chat.ts';
import type { AnswerNumbers, Message } from '../state/db.ts';
import { engineState } from '../state/engine.ts';
import { liveNumbers, liveTextOf } from '../state/live.ts';
import { formatNumber, formatSeconds, t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';
import { ActionButton, CopyButton } from './action_button.tsx';
import { Branches } from './branches.tsx';
import { ModelStatus } from './empty_chat.tsx';
import { MarkdownView } from './markdown_view.tsx';

interface AnswerProps {
  message: Message;
  branches: readonly Message[];
  isLast: boolean;
}

export function AnswerMessage({ message, branches, isLast }: AnswerProps) {
  const live = answering.value?.message === message.id;
  return (
    <li class={isLast ? 'message answer last' : 'message answer'}>
      <article aria-label={t('chat.answer')} aria-busy={live}>
        <MarkdownView id={message.id} text={message.content} live={live} />
        {live ? <LiveLine id={message.id} /> : <EndLine message={message} />}
        {!live && (
          <div class="actions">
            <Branches message={message} branches={branches} />
            {message.content && <CopyButton text={() => message.content} />}
            <ActionButton
              label={t('chat.regenerate')} icon="again" action="regenerate" disabled={answering.value !== null}
              onClick={() => void regenerate(message.id)}
            />
            {isLast && message.content && (
              <ActionButton
                label={t('chat.continue')} icon="onward" action="continue" disabled={answering.value !== null}
                onClick={() => void continueAnswer(message.id)}
              />
            )}
            {message.numbers && <Numbers numbers={message.numbers} />}
          </div>
        )}
      </article>
    </li>
  );
}

// While it streams: that something happens, then how fast.
function LiveLine({ id }: { id: string }) {
  const numbers = liveNumbers.value;
  const { status, info } = engineState.value;
  if (status !== 'ready') {
    return (
      <div class="live-line waits">
        <ModelStatus />
        <p class="hint">{t(info ? 'chat.readsMeanwhile' : 'chat.waitsForModel')}</p>
      </div>
    );
  }
  if (!numbers) return <p class="live-line"><Dots /> <span>{liveTextOf(id) ? '' : t('chat.reads')}</span></p>;
  return (
    <p class="live-line">
      <Dots /> <span>{numbers.tokensPerSecond > 0 && t('chat.rate', { rate: formatNumber(numbers.tokensPerSecond, 1) })}</span>
    </p>
  );
}

function Dots() {
  return <span class="dots" aria-hidden="true"><i /><i /><i /></span>;
}

const ENDS = {
  stopped: 'chat.stopped', unfinished: 'chat.unfinished', length: 'chat.atLength', context: 'chat.atContext',
} as const;

function EndLine({ message }: { message: Message }) {
  const { end, error, content, id } = message;
  if (end === 'failed') {
    return (
      <div class="answer-failed" role="alert">
        <Icon name="alert" />
        <p>{t(content ? 'chat.failedInside' : 'chat.failed', { why: error ?? '' })}</p>
        <button type="button" class="button" onClick={() => void (content ? continueAnswer(id) : regenerate(id))}>
          {t(content ? 'chat.continue' : 'chat.retry')}
        </button>
      </div>
    );
  }
  return end && end !== 'done' ? <p class="end-line">{t(ENDS[end])}</p> : null;
}

function Numbers({ numbers }: { numbers: AnswerNumbers }) {
  const { engine, begunOn, device, model, tokensPerSecond, firstToken, tokens } = numbers;
  const where = begunOn
    ? t('chat.byEngines', { first: t(`engine.${begunOn}`), engine: t(`engine.${engine}`) })
    : t('chat.byEngine', { engine: t(`engine.${engine}`) });
  return (
    <p class="numbers" title={`${model} · ${device}`} aria-label={t('chat.numbers')} role="group">
      <span>{t('chat.rate', { rate: formatNumber(tokensPerSecond, 1) })}</span>
      <span>{t('chat.firstToken', { time: formatSeconds(firstToken) })}</span>
      <span>{t('chat.tokens', { count: formatNumber(tokens) })}</span>
      <span>{where}</span>
    </p>
  );
}
