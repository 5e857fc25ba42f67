// SPDX-License-Identifier: Apache-2.0
// How far the engine has come with the model, shard by shard, and a way to stop and go on. What came
// is kept, so going on costs nothing twice.

import { signal } from '@preact/signals';
import type { Progress } from '@lamina/engine';
import { answering } from '../state/answering.ts';
import { engineState, loadEngine, unloadEngine } from '../state/engine.ts';
import { t } from '../text/t.ts';
import { ProgressLine } from './progress_line.tsx';
import { ShardStrip } from './shard_strip.tsx';
import '../style/models.css';

const pausedAt = signal<Progress | null>(null);

function pauseLoading(progress: Progress): void {
  pausedAt.value = progress;
  void unloadEngine();
}

function resumeLoading(): void {
  pausedAt.value = null;
  void loadEngine().catch(() => {}); // the engine's state tells
}

/** Nothing while nothing loads. */
export function ModelProgress() {
  const { status, progress } = engineState.value;
  const paused = status === 'none' ? pausedAt.value : null;
  const shown = paused ?? (status === 'loading' ? progress : undefined);
  if (!shown) return null;
  const moves = shown.stage === 'load' && shown.total > 1;
  const { loaded, total, rate, files } = shown;
  return (
    <section class="model-progress" aria-label={t('models.loading')}>
      <header>
        <strong>{paused ? t('models.loadPaused') : t(moves ? 'models.loading' : 'models.loadingFrom')}</strong>
        {paused && <button type="button" class="button" onClick={resumeLoading}>{t('models.resume')}</button>}
        {!paused && moves && !answering.value && loaded < total && (
          <button type="button" class="button" onClick={() => pauseLoading(shown)}>{t('models.loadPause')}</button>
        )}
      </header>
      {moves ? (
        <>
          <progress class="bar" value={loaded} max={total} aria-label={t('models.loading')} />
          {files && files.length > 1 && (
            <ShardStrip parts={files.map((file) => ({ file: file.file, done: file.bytesDone, total: file.bytesTotal }))} />
          )}
          <ProgressLine done={loaded} total={total} rate={rate} state={paused ? 'paused' : shown.state} />
          {!paused && !answering.value && <p class="hint">{t('models.startsWhen')}</p>}
        </>
      ) : <progress class="bar" aria-label={t('models.loadingFrom')} />}
    </section>
  );
}
