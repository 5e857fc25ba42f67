// SPDX-License-Identifier: Apache-2.0
// What is told of a model before it is chosen.

import type { SignatureFacts } from '@lamina/engine/storage';
import type { ModelEntry } from '../state/models.ts';
import { formatBytes, formatNumber, t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';

export function formatCount(count: number): string {
  if (count >= 1e9) return t('models.billion', { count: formatNumber(count / 1e9, 1) });
  return t('models.million', { count: formatNumber(count / 1e6, count < 1e7 ? 1 : 0) });
}

/** Short, and why. */
export function describeSignature({ kind, fingerprint = '' }: SignatureFacts): { text: string; why: string; tone: string } {
  if (kind === 'trusted') return { text: t('models.trusted'), why: t('models.trustedWhy', { who: fingerprint }), tone: 'good' };
  if (kind === 'unknown_signer') {
    return { text: t('models.unknownSigner', { who: fingerprint }), why: t('models.unknownSignerWhy'), tone: 'warn' };
  }
  if (kind === 'unchecked') return { text: t('models.unchecked'), why: t('models.uncheckedWhy'), tone: 'warn' };
  return { text: t('models.unsigned'), why: t('models.unsignedWhy'), tone: 'plain' };
}

export function ModelFactsList({ entry }: { entry: ModelEntry }) {
  const { facts, plan } = entry;
  if (!facts) return null;
  const signature = describeSignature(facts.signature);
  const shards = facts.shards.length === 1 ? t('models.shardsOne') : t('models.shards', { count: facts.shards.length });
  return (
    <dl class="model-facts">
      <div><dt>{t('models.size')}</dt><dd>{formatBytes(facts.bytes)} <small>{shards}</small></dd></div>
      <div><dt>{t('models.parameters')}</dt><dd>{formatCount(facts.parameters)} <small>{facts.precision}</small></dd></div>
      {facts.context > 0 && (
        <div><dt>{t('models.context')}</dt><dd>{t('models.tokens', { count: formatNumber(facts.context) })}</dd></div>
      )}
      <div>
        <dt>{t('models.signature')}</dt>
        <dd class={`tone-${signature.tone}`} title={signature.why}>{signature.text}</dd>
      </div>
      {plan && <Fit entry={entry} />}
    </dl>
  );
}

function Fit({ entry: { plan } }: { entry: ModelEntry }) {
  if (!plan) return null;
  const { memory: { weights, kv, activations }, totalBytes, fits, reason, engine } = plan;
  const numbers = t('models.fitText', {
    total: formatBytes(totalBytes), weights: formatBytes(weights), kv: formatBytes(kv), work: formatBytes(activations),
  });
  return (
    <div class="wide">
      <dt>{t('models.memory')}</dt>
      <dd>
        <span class={fits ? 'fit tone-good' : 'fit tone-bad'}>
          <Icon name={fits ? 'check' : 'alert'} size={16} /> {t(fits ? 'models.fits' : 'models.tooLarge')}
        </span>{' '}
        <small>{fits ? numbers : reason} {t('models.fitOn', { engine: t(`engine.${engine}`) })}</small>
      </dd>
    </div>
  );
}
