// SPDX-License-Identifier: Apache-2.0
// Trusted Types: HTML comes from DOMPurify's own policy alone. The default policy knows no HTML; it
// lets this page's own workers be started.

const WORKERS = /^(assets\/engine\/|assets\/(highlight|store)_worker-[\w-]+\.js$|sw\.js$)/;

/** Null for a script that is not one of this page's workers. */
export function ownScript(address: string, page: string): string | null {
  const home = new URL('.', page);
  const url = new URL(address, page);
  const inside = url.origin === home.origin && url.pathname.startsWith(home.pathname);
  return inside && WORKERS.test(url.pathname.slice(home.pathname.length)) ? url.href : null;
}

export function allowOwnScripts(): void {
  window.trustedTypes?.createPolicy('default', {
    createScriptURL: (address) => ownScript(address, document.baseURI),
  } as TrustedTypePolicyOptions);
}
