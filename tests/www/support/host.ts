// SPDX-License-Identifier: Apache-2.0
import { after, before } from 'node:test';
import type { Browser } from 'playwright-core';
import { BUILT, launch } from './browser.ts';
import { StaticServer } from './static_server.ts';

/** What all tests of a file share: there before the first, gone after the last. */
export interface Host {
  browser: Browser;
  /** The built page, with COOP and COEP where `isolated`. */
  server: StaticServer;
}

export function hosted({ webgpu = false, isolated = true }: { webgpu?: boolean; isolated?: boolean } = {}): Host {
  const host = {} as Host;
  before(async () => {
    host.browser = await launch({ webgpu });
    host.server = await StaticServer.start(BUILT);
    host.server.isolated = isolated;
  });
  after(async () => {
    await host.browser?.close();
    await host.server?.down();
  });
  return host;
}
