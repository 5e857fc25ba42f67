// SPDX-License-Identifier: Apache-2.0
// A bar per shard, filled as far as its bytes are at hand.

import { formatBytes, formatPercent, t } from '../text/t.ts';

export interface ShardPart {
  file: string;
  done: number;
  total: number;
  bad?: boolean;
}

const MOST = 96; // more are drawn as one bar

export function ShardStrip({ parts }: { parts: readonly ShardPart[] }) {
  if (parts.length === 0) return null;
  const whole = parts.filter(({ done, total }) => done >= total).length;
  const said = t('models.shardsDone', { done: whole, count: parts.length });
  const drawn = parts.length > MOST ? [together(parts)] : parts;
  return (
    <div class="shards" role="img" aria-label={said}>
      {drawn.map(({ file, done, total, bad }) => (
        <span
          key={file} class={bad ? 'shard bad' : done >= total ? 'shard whole' : 'shard'} style={{ flexGrow: total }}
          title={t('models.shard', { file, size: formatBytes(total), percent: formatPercent(done / Math.max(1, total)) })}
        >
          <span class="shard-done" style={{ width: `${(100 * Math.max(0, done)) / Math.max(1, total)}%` }} />
        </span>
      ))}
    </div>
  );
}

function together(parts: readonly ShardPart[]): ShardPart {
  const sum = (of: (part: ShardPart) => number) => parts.reduce((all, part) => all + of(part), 0);
  return { file: t('models.shards', { count: parts.length }), done: sum((p) => p.done), total: sum((p) => p.total) };
}
