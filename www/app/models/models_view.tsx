// SPDX-License-Identifier: Apache-2.0
// The models page: what there is, what is stored, and how to get more.

import { useEffect } from 'preact/hooks';
import { models, modelsState, refreshModels } from '../state/models.ts';
import { t } from '../text/t.ts';
import { ImportPanel } from './import_panel.tsx';
import { ModelCard } from './model_card.tsx';
import { OfflinePanel } from './offline_panel.tsx';
import { StoragePanel } from './storage_panel.tsx';
import '../style/models.css';

export function ModelsView() {
  useEffect(() => void refreshModels(), []);
  return (
    <div class="page models-page">
      <header class="page-head">
        <h1>{t('models.title')}</h1>
        <p class="hint">{t('models.lead')}</p>
      </header>
      <ModelList />
      <div class="panels">
        <section class="panel" aria-labelledby="storage-title">
          <h2 id="storage-title">{t('storage.title')}</h2>
          <StoragePanel />
        </section>
        <section class="panel" aria-labelledby="offline-title">
          <h2 id="offline-title">{t('offline.title')}</h2>
          <OfflinePanel />
        </section>
        <section class="panel wide" aria-label={t('storage.import')}>
          <ImportPanel />
        </section>
      </div>
    </div>
  );
}

function ModelList() {
  if (models.value.length > 0) {
    return <ul class="model-list">{models.value.map((entry) => <ModelCard key={entry.url} entry={entry} />)}</ul>;
  }
  if (modelsState.value !== 'known') return <p class="empty" aria-busy="true">{t('models.looking')}</p>;
  return (
    <div class="empty">
      <h2>{t('models.none')}</h2>
      <p class="hint">{t('models.noneHint', { code: 'lamina convert' })}</p>
    </div>
  );
}
