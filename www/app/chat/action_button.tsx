// SPDX-License-Identifier: Apache-2.0
import { useState } from 'preact/hooks';
import { t } from '../text/t.ts';
import { Icon, type IconName } from '../ui/icons.tsx';

interface ActionProps {
  label: string;
  icon: IconName;
  onClick: () => void;
  disabled?: boolean;
  /** A name to find it by. */
  action?: string;
}

export function ActionButton({ label, icon, onClick, disabled = false, action }: ActionProps) {
  return (
    <button
      type="button" class="icon-button small" aria-label={label} title={label} disabled={disabled} data-action={action}
      onClick={onClick}
    >
      <Icon name={icon} size={18} />
    </button>
  );
}

export function CopyButton({ text }: { text: () => string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(text()).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    });
  };
  return <ActionButton label={copied ? t('chat.copied') : t('chat.copy')} icon={copied ? 'check' : 'copy'} action="copy" onClick={copy} />;
}
