// SPDX-License-Identifier: Apache-2.0
// How much of this device the models take, and whether the browser keeps them.

import { useState } from 'preact/hooks';
import { refreshUsage, usage } from '../state/models.ts';
import { formatBytes, t } from '../text/t.ts';

export function StoragePanel() {
  const known = usage.value;
  if (!known) return null;
  const { backend, bytes, quota, models } = known;
  const stored = models.filter((model) => model.storedBytes > 0);
  if (backend === 'memory') return <p class="hint">{t('storage.memory')}</p>;
  return (
    <div class="storage">
      <p>
        <strong>{bytes > 0 ? t('storage.used', { used: formatBytes(bytes) }) : t('storage.empty')}</strong>{' '}
        {quota !== null && <span class="hint">{t('storage.of', { quota: formatBytes(quota) })}</span>}
      </p>
      {quota !== null && <progress class="bar wide-bar" value={bytes} max={quota} aria-label={t('storage.bar')} />}
      {stored.length > 0 && (
        <ul class="stored-list">
          {stored.map((model) => (
            <li key={model.sha256}><span>{model.name}</span><span>{formatBytes(model.storedBytes)}</span></li>
          ))}
        </ul>
      )}
      <Persistence />
    </div>
  );
}

function Persistence() {
  const [refused, setRefused] = useState(false);
  const persistent = usage.value?.persistent;
  if (persistent === null || persistent === undefined) return null;
  if (persistent) return <p class="hint">{t('storage.persistent')}</p>;
  const ask = async () => {
    setRefused(!(await navigator.storage.persist()));
    await refreshUsage();
  };
  return (
    <p class="hint">
      {t(refused ? 'storage.refused' : 'storage.evictable')}{' '}
      {!refused && <button type="button" class="link-button" onClick={() => void ask()}>{t('storage.keep')}</button>}
    </p>
  );
}
