// SPDX-License-Identifier: Apache-2.0
import { t } from '../text/t.ts';

export function SettingsView() {
  return <h1>{t('nav.settings')}</h1>;
}
