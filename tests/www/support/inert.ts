// SPDX-License-Identifier: Apache-2.0
// What may stand in answers.

import { INERT_ATTRIBUTES, INERT_ELEMENTS } from '../unit/xss_corpus.ts';

export const INERT = { elements: INERT_ELEMENTS, attributes: INERT_ATTRIBUTES };

/** What in the answers could do something. Runs in the page. */
export const notInert = ({ elements, attributes }: typeof INERT) => {
  const bad: string[] = [];
  for (const element of document.querySelectorAll('.markdown *')) {
    if (!elements.includes(element.localName)) bad.push(element.outerHTML.slice(0, 200));
    for (const { name, value } of element.attributes) {
      const good = attributes.includes(name);
      if (!good || (name === 'href' && !/^(https?:|mailto:)/i.test(value))) bad.push(`${name}=${value}`);
    }
  }
  return bad;
};
