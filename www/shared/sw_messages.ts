// SPDX-License-Identifier: Apache-2.0
// What the page and its service worker tell each other.

/** From the page. */
export type ToWorker =
  | { kind: 'loaded' }
  | { kind: 'apply-update' }
  | { kind: 'switch-off' };

/** To the page. `which-build` is answered on the message's port. */
export type ToPage =
  | { kind: 'which-build' }
  | { kind: 'switched-off' };

/** The build a page was made from: the content of its <meta name="lamina-build">. */
export interface BuildAnswer {
  build: string;
}

/** The address, from the page's folder, of the file that can switch the worker off. */
export const SWITCH_FILE = 'service-worker.json';

export interface SwitchFile {
  /** False: every installed worker removes itself and what it cached at the next visit. */
  enabled: boolean;
}
