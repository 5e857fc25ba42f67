// SPDX-License-Identifier: Apache-2.0
import { t } from '../text/t.ts';

export function ModelsView() {
  return <h1>{t('nav.models')}</h1>;
}
