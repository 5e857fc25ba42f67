// SPDX-License-Identifier: Apache-2.0
// The chosen theme as an attribute of the document; without one the system's holds.

import { effect } from '@preact/signals';
import { settings } from './settings.ts';

export function applyTheme(): void {
  effect(() => {
    const theme = settings.theme.value;
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  });
}
