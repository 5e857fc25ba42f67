// SPDX-License-Identifier: Apache-2.0

import { Turns } from './turns.ts';

/** The shards of a model that its module has. They outlive the runner that has loaded them. */
export class InModule {
  readonly shards = new Set<number>();
  /**
   * Runners load one after the other: a shard that is there is laid out anew for the kernels, and
   * another thread that still wrote to its place would spoil it.
   */
  readonly loads = new Turns();
}
