// SPDX-License-Identifier: Apache-2.0
// Models from disk, and from addresses that this page was not told of.

import { useRef, useState } from 'preact/hooks';
import { filesOfTar } from '../../shared/tar.ts';
import { addAddress, importModel, models } from '../state/models.ts';
import { t } from '../text/t.ts';
import { toast } from '../state/toasts.ts';
import { Icon } from '../ui/icons.tsx';
import { droppedFiles } from './dropped_files.ts';

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

async function unpack(files: readonly File[]): Promise<readonly File[]> {
  const [only] = files;
  return files.length === 1 && only?.name.endsWith('.tar') ? filesOfTar(only) : files;
}

export function ImportPanel() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [over, setOver] = useState(false);
  const folder = useRef<HTMLInputElement>(null);
  const file = useRef<HTMLInputElement>(null);
  const take = async (given: readonly File[]) => {
    if (given.length === 0 || busy) return;
    setBusy(true);
    setError('');
    try {
      const url = await importModel([...await unpack(given)]);
      toast(t('storage.imported', { name: models.value.find((entry) => entry.url === url)?.name ?? '' }));
    } catch (thrown) {
      setError(messageOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const chosen = (event: Event) => {
    const input = event.target as HTMLInputElement;
    void take([...input.files ?? []]).then(() => (input.value = ''));
  };
  const drop = async ({ dataTransfer }: DragEvent) => {
    if (dataTransfer) await take(await droppedFiles(dataTransfer));
  };
  return (
    <div
      class={over ? 'import over' : 'import'}
      onDragOver={(event) => (event.preventDefault(), setOver(true))} onDragLeave={() => setOver(false)}
      onDrop={(event) => (event.preventDefault(), setOver(false), void drop(event))}
    >
      <h3>{t('storage.import')}</h3>
      <p class="hint">{busy ? t('storage.importing') : t('storage.drop')}</p>
      {busy && <progress class="bar" aria-label={t('storage.importing')} />}
      <div class="card-buttons">
        <button type="button" class="button" disabled={busy} onClick={() => folder.current?.click()}>
          <Icon name="upload" size={18} /> {t('storage.importFolder')}
        </button>
        <button type="button" class="button" disabled={busy} onClick={() => file.current?.click()}>
          <Icon name="upload" size={18} /> {t('storage.importFile')}
        </button>
      </div>
      <input ref={folder} type="file" hidden aria-label={t('storage.importFolder')} onChange={chosen} {...{ webkitdirectory: true }} />
      <input ref={file} type="file" hidden multiple aria-label={t('storage.importFile')} accept=".tar,.json,.bin,.sig" onChange={chosen} />
      {error && <p class="card-error" role="alert"><Icon name="alert" size={18} /> {error}</p>}
      <AddressForm />
    </div>
  );
}

function AddressForm() {
  const [text, setText] = useState('');
  const [error, setError] = useState('');
  const add = async (event: Event) => {
    event.preventDefault();
    try {
      await addAddress(text);
      setText('');
      setError('');
    } catch (thrown) {
      setError(messageOf(thrown));
    }
  };
  return (
    <form class="address" onSubmit={(event) => void add(event)}>
      <label for="model-address">{t('storage.address')}</label>
      <div class="address-row">
        <input
          id="model-address" type="url" class="field" placeholder="https://…/" value={text} required
          aria-describedby="model-address-hint" onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="button">{t('storage.add')}</button>
      </div>
      <p class="hint" id="model-address-hint">{t('storage.addressHint')}</p>
      {error && <p class="card-error" role="alert">{error}</p>}
    </form>
  );
}
