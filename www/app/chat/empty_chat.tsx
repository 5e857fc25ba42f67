// SPDX-License-Identifier: Apache-2.0
// How to begin: a greeting, how far the model is, and examples that are one click away.

import { ModelProgress } from '../models/model_progress.tsx';
import { hrefOf } from '../router.ts';
import { send } from '../state/chat.ts';
import { engineState, loadEngine } from '../state/engine.ts';
import { t, type TextName } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';

const EXAMPLES: readonly TextName[] = ['example.story', 'example.poem', 'example.key', 'example.opposite'];

export function EmptyChat() {
  return (
    <div class="empty-chat">
      <div class="hello">
        <img src="./icon.svg" alt="" width={56} height={56} />
        <h2>{t('chat.hello')}</h2>
        <p>{t('chat.helloText')}</p>
      </div>
      <ModelStatus />
      <ul class="examples" aria-label={t('chat.examples')}>
        {EXAMPLES.map((name) => (
          <li key={name}>
            <button type="button" class="example" onClick={() => void send(t(name))}>{t(name)}</button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Loading, or why not. */
export function ModelStatus() {
  const { status, error } = engineState.value;
  if (status === 'loading') return <div class="model-status"><ModelProgress /></div>;
  if (status !== 'failed') return null;
  return (
    <div class="model-status failed" role="alert">
      <Icon name="alert" />
      <p>{error?.code === 'invalid_argument' ? t('engine.noModel') : error?.message}</p>
      <button type="button" class="button" onClick={() => void loadEngine().catch(() => {})}>{t('app.tryAgain')}</button>
      <a class="button quiet" href={hrefOf({ view: 'models' })}>{t('nav.models')}</a>
    </div>
  );
}
