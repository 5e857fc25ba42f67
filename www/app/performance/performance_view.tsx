// SPDX-License-Identifier: Apache-2.0
import { t } from '../text/t.ts';

export function PerformanceView() {
  return <h1>{t('nav.performance')}</h1>;
}
