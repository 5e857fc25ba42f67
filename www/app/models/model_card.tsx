// SPDX-License-Identifier: Apache-2.0
// One model: what it is, what is being done with it, what can be done.

import { useState } from 'preact/hooks';
import { go } from '../router.ts';
import { engineState, reloadEngine } from '../state/engine.ts';
import {
  download, estimate, exportFile, exportFolder, forgetAddress, isStored, look, manifestOf, models, pause, remove, repair,
  stop, verify, type Job, type ModelEntry,
} from '../state/models.ts';
import { settings } from '../state/settings.ts';
import { formatBytes, formatPercent, t } from '../text/t.ts';
import { ConfirmDialog } from '../ui/dialog.tsx';
import { Icon } from '../ui/icons.tsx';
import { Menu, type MenuItem } from '../ui/menu.tsx';
import { ModelFactsList } from './facts.tsx';
import { ProgressLine } from './progress_line.tsx';
import { saveFile } from './save_file.ts';
import { ShardStrip, type ShardPart } from './shard_strip.tsx';
import { Verdict } from './verdict.tsx';

type Picker = { showDirectoryPicker?(options: { mode: 'readwrite' }): Promise<FileSystemDirectoryHandle> };

function isChosen({ url }: ModelEntry): boolean {
  const chosen = settings.model.value || models.value[0]?.url;
  return chosen !== undefined && chosen !== '' && manifestOf(chosen) === manifestOf(url);
}

function use({ url }: ModelEntry): void {
  settings.model.value = url;
  void reloadEngine().catch(() => {}); // the chat shows why
  go({ view: 'chat', id: null });
}

async function exportTo(entry: ModelEntry): Promise<void> {
  const folder = await (globalThis as Picker).showDirectoryPicker?.({ mode: 'readwrite' }).catch(() => undefined);
  if (folder) await exportFolder(entry.url, folder);
}

async function saveAs(entry: ModelEntry): Promise<void> {
  const blob = await exportFile(entry.url);
  if (blob) saveFile(blob, `${entry.name.replace(/[^A-Za-z0-9._-]+/g, '-')}.tar`);
}

function actionsOf(entry: ModelEntry, ask: () => void): MenuItem[] {
  const some = (entry.facts?.storedBytes ?? 0) > 0;
  const items: MenuItem[] = [];
  if (some) items.push({ label: t('models.verify'), icon: 'check', run: () => void verify(entry.url) });
  if (some && /^https?:/.test(new URL(entry.url, document.baseURI).protocol)) {
    items.push({ label: t('models.repair'), icon: 'again', run: () => void repair(entry.url) });
  }
  if (isStored(entry)) {
    if ('showDirectoryPicker' in globalThis) {
      items.push({ label: t('models.exportFolder'), icon: 'download', run: () => void exportTo(entry) });
    }
    items.push({ label: t('models.exportFile'), icon: 'download', run: () => void saveAs(entry) });
  }
  if (some) items.push({ label: t('models.remove'), icon: 'trash', danger: true, run: ask });
  if (entry.origin === 'added') items.push({ label: t('models.forget'), icon: 'close', run: () => forgetAddress(entry.url) });
  return items;
}

export function ModelCard({ entry }: { entry: ModelEntry }) {
  const [asking, setAsking] = useState(false);
  const { name, url, facts, job, error, verdict } = entry;
  const actions = job ? [] : actionsOf(entry, () => setAsking(true));
  const removeText = url.startsWith('lamina-import:') ? 'models.removeImported' : 'models.removeText';
  return (
    <li class={isChosen(entry) ? 'model-card chosen' : 'model-card'}>
      <header>
        <h2>{name}</h2>
        <Where entry={entry} />
        {isChosen(entry) && (
          <span class="chip accent">{t(engineState.value.status === 'ready' ? 'models.inUse' : 'models.chosen')}</span>
        )}
        <span class="spacer" />
        {actions.length > 0 && (
          <Menu label={t('models.more', { name })} items={actions}><Icon name="more" /></Menu>
        )}
      </header>
      {models.value.some((other) => other !== entry && other.name === name) && <p class="hint address-line">{url}</p>}
      <ModelFactsList entry={entry} />
      {job && <JobView entry={entry} job={job} />}
      {verdict && !job && <Verdict verdict={verdict} complete={isStored(entry)} />}
      {error && <p class="card-error" role="alert"><Icon name="alert" size={18} /> {error}</p>}
      {!job && <CardButtons entry={entry} />}
      {asking && facts && (
        <ConfirmDialog
          title={t('models.removeTitle', { name })} text={t(removeText, { size: formatBytes(facts.storedBytes) })}
          confirm={t('models.removeConfirm')} onConfirm={() => void removeModel(entry)} onClose={() => setAsking(false)}
        />
      )}
    </li>
  );
}

async function removeModel(entry: ModelEntry): Promise<void> {
  await remove(entry.url);
}

function Where({ entry }: { entry: ModelEntry }) {
  const { facts, origin } = entry;
  if (isStored(entry)) return <span class="chip good">{t('models.stored')}</span>;
  if (facts && facts.storedBytes > 0) {
    return <span class="chip">{t('models.partly', { percent: formatPercent(facts.storedBytes / facts.bytes) })}</span>;
  }
  return origin === 'daemon' ? <span class="chip">{t('models.atDaemon')}</span> : null;
}

function CardButtons({ entry }: { entry: ModelEntry }) {
  const { facts, plan, url, error } = entry;
  if (!facts) {
    return error
      ? <div class="card-buttons"><button type="button" class="button" onClick={() => void look(url)}>{t('app.tryAgain')}</button></div>
      : null;
  }
  const ready = isChosen(entry) && engineState.value.status === 'ready';
  const left = facts.bytes - facts.storedBytes;
  return (
    <div class="card-buttons">
      {ready
        ? <button type="button" class="button" onClick={() => go({ view: 'chat', id: null })}>{t('models.chat')}</button>
        : <button type="button" class="button primary" onClick={() => use(entry)}>{t('models.use')}</button>}
      {left > 0 && (
        <button type="button" class="button" onClick={() => void download(url)}>
          <Icon name="download" size={18} /> {t(facts.storedBytes > 0 ? 'models.continue' : 'models.download')}
        </button>
      )}
      {!plan && <button type="button" class="button quiet" onClick={() => void estimate(url)}>{t('models.estimate')}</button>}
      {left > 0 && <span class="hint">{t('models.toDownload', { size: formatBytes(left) })}</span>}
    </div>
  );
}

const JOBS = {
  download: 'models.jobDownload', verify: 'models.jobVerify', repair: 'models.jobRepair', export: 'models.jobExport',
  remove: 'models.jobRemove',
} as const;

// Shards that this job does not touch are there already.
function partsOf({ facts }: ModelEntry, { progress, work }: Job): ShardPart[] {
  const moving = new Map(progress?.files.map((file) => [file.file, file.bytesDone]));
  const stored = work === 'download';
  return (facts?.shards ?? []).map((shard) => ({
    file: shard.file, total: shard.bytes, done: moving.get(shard.file) ?? (stored && shard.stored ? shard.bytes : 0),
  }));
}

function JobView({ entry, job }: { entry: ModelEntry; job: Job }) {
  const { progress, work, paused } = job;
  const pausable = (work === 'download' || work === 'repair') && progress !== undefined;
  return (
    <div class="job">
      <div class="job-head">
        <strong>{t(JOBS[work])}</strong>
        <span class="spacer" />
        {pausable && (
          <button type="button" class="button" onClick={() => void pause(entry.url, !paused)}>
            {t(paused ? 'models.resume' : 'models.pause')}
          </button>
        )}
        {work !== 'remove' && (
          <button type="button" class="button quiet" onClick={() => stop(entry.url)}>{t('models.stop')}</button>
        )}
      </div>
      {progress && (
        <>
          <progress class="bar" value={progress.bytesDone} max={Math.max(1, progress.bytesTotal)} aria-label={t(JOBS[work])} />
          {entry.facts && entry.facts.shards.length > 1 && <ShardStrip parts={partsOf(entry, job)} />}
          <ProgressLine
            done={progress.bytesDone} total={progress.bytesTotal} rate={progress.rate}
            state={paused ? 'paused' : progress.state}
          />
        </>
      )}
    </div>
  );
}
