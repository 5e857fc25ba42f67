// SPDX-License-Identifier: Apache-2.0
// Steps between versions of a message.

import { answering } from '../state/answering.ts';
import { showBranch } from '../state/conversations.ts';
import type { Message } from '../state/db.ts';
import { t } from '../text/t.ts';
import { Icon } from '../ui/icons.tsx';

export function Branches({ message, branches }: { message: Message; branches: readonly Message[] }) {
  if (branches.length < 2) return null;
  const at = branches.findIndex(({ id }) => id === message.id);
  const step = (by: number, label: string, icon: 'left' | 'right') => {
    const other = branches[at + by];
    return (
      <button
        type="button" class="icon-button small" aria-label={label} title={label}
        disabled={!other || answering.value !== null} onClick={() => other && void showBranch(other.id)}
      >
        <Icon name={icon} size={16} />
      </button>
    );
  };
  return (
    <span class="branches">
      {step(-1, t('chat.previous'), 'left')}
      <span aria-label={t('chat.branch', { at: at + 1, count: branches.length })} role="img">{at + 1}/{branches.length}</span>
      {step(1, t('chat.next'), 'right')}
    </span>
  );
}
