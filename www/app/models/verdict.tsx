// SPDX-License-Identifier: Apache-2.0
// What checking a stored model has found.

import type { Verdict as Found } from '@lamina/engine/storage';
import { t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';

export function Verdict({ verdict: { good, bad, missing }, complete }: { verdict: Found; complete: boolean }) {
  const fetched = complete ? [...bad, ...missing] : [];
  if (fetched.length > 0) {
    return <Line good text={t('models.verdictRepaired', { count: fetched.length, files: fetched.join(', ') })} />;
  }
  if (bad.length > 0) return <Line text={t('models.verdictBad', { count: bad.length, files: bad.join(', ') })} />;
  if (missing.length > 0) return <Line good text={t('models.verdictMissing', { count: missing.length })} />;
  return <Line good text={t('models.verdictGood', { count: good.length })} />;
}

function Line({ text, good = false }: { text: string; good?: boolean }) {
  return (
    <p class={good ? 'verdict tone-good' : 'verdict tone-bad'} role="status">
      <Icon name={good ? 'check' : 'alert'} size={18} /> {text}
    </p>
  );
}
