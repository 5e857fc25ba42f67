// SPDX-License-Identifier: Apache-2.0
// The last word on HTML that comes of a model's words: only what Markdown makes within a block is
// let through, as nodes; the blocks' own elements are made by name. No HTML sink is used; DOMPurify
// parses in a document of its own that runs nothing.

import createDOMPurify, { type Config } from 'dompurify';

const CONFIG: Config = {
  ALLOWED_TAGS: ['a', 'br', 'code', 'em', 's', 'strong'],
  ALLOWED_ATTR: ['href', 'title', 'class'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  SANITIZE_NAMED_PROPS: true,
  RETURN_DOM_FRAGMENT: true,
};

function makePurifier() {
  const purifier = createDOMPurify(window);
  purifier.addHook('uponSanitizeAttribute', (_node, data) => {
    if (data.attrName === 'class') data.keepAttr = data.attrValue === 'image-link';
  });
  purifier.addHook('afterSanitizeAttributes', (node) => {
    if (node.nodeName !== 'A' || !(node instanceof Element)) return;
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  });
  return purifier;
}

let purifier: ReturnType<typeof makePurifier> | undefined;

export function sanitize(html: string): DocumentFragment {
  purifier ??= makePurifier();
  return purifier.sanitize(html, CONFIG) as unknown as DocumentFragment;
}
