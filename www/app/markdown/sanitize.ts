// SPDX-License-Identifier: Apache-2.0
// The last word on HTML that comes of a model's words: only what Markdown makes is let through, as
// nodes. No HTML sink is used; DOMPurify parses in a document of its own that runs nothing.

import createDOMPurify, { type Config } from 'dompurify';

const TAGS = [
  'a', 'blockquote', 'br', 'code', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p',
  'pre', 's', 'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
];
const CLASSES = /^((hljs|language)-[\w+#.-]+|[\w-]+_|align-(left|right|center)|image-link|table|function|class|inherited)$/;

const CONFIG: Config = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ['href', 'title', 'class', 'start', 'tabindex'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  SANITIZE_NAMED_PROPS: true,
  RETURN_DOM_FRAGMENT: true,
};

function makePurifier() {
  const purifier = createDOMPurify(window);
  purifier.addHook('uponSanitizeAttribute', (_node, data) => {
    if (data.attrName === 'class') data.keepAttr = data.attrValue.split(/\s+/).every((name) => CLASSES.test(name));
    if (data.attrName === 'tabindex') data.keepAttr = data.attrValue === '0';
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
