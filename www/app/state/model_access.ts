// SPDX-License-Identifier: Apache-2.0
// What a request for a model's files needs: a daemon gives its own only to who has its token.

import type { Trust } from '@lamina/engine';
import { settings } from './settings.ts';

/** Nothing for models elsewhere: the token is for the daemon that the page comes from. */
export function modelHeaders(url: string): Record<string, string> | undefined {
  const { token, url: daemon } = settings.daemon.value;
  if (token === '' || daemon !== '' || !URL.canParse(url, document.baseURI)) return undefined;
  const here = new URL(document.baseURI).origin;
  return new URL(url, document.baseURI).origin === here ? { Authorization: `Bearer ${token}` } : undefined;
}

/** Undefined: hashes are checked, signatures are told and not needed. */
export function modelTrust(): Trust | undefined {
  const pinned = settings.trustKeys.value;
  return pinned.length > 0 ? { pinned } : undefined;
}
