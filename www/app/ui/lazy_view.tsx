// SPDX-License-Identifier: Apache-2.0
// A part of the page whose script comes when it is first shown.

import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { t } from '../text/t.ts';

export function LazyView({ load }: { load: () => Promise<ComponentType> }) {
  const [View, setView] = useState<{ is: ComponentType } | null>(null);
  const [error, setError] = useState('');
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let here = true;
    setError('');
    load().then(
      (is) => here && setView({ is }),
      (thrown: unknown) => here && setError(thrown instanceof Error ? thrown.message : String(thrown)),
    );
    return () => {
      here = false;
    };
  }, [load, attempt]);
  if (error) {
    return (
      <div class="load-failed" role="alert">
        <p>{t('app.loadFailed', { why: error })}</p>
        <button type="button" class="button" onClick={() => setAttempt(attempt + 1)}>{t('app.tryAgain')}</button>
      </div>
    );
  }
  return View ? <View.is /> : <div class="view-waits" aria-busy="true" />;
}
