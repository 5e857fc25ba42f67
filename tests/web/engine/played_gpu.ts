// SPDX-License-Identifier: Apache-2.0
// A GPU played by the module's CPU engine, so that a test can hold it anywhere, break it, or lose it.
import type { Model, Session, TokenEvent } from '../../../web/abi/module.ts';
import { LaminaError } from '../../../web/engine/errors.ts';
import { Arrivals } from '../../../web/engine/worker/arrivals.ts';
import type { Runner, RunnerParts } from '../../../web/engine/worker/runner.ts';

/** Something that a test lets go. */
export class Gate {
  release = () => {};
  reached = () => {};
  readonly arrived: Promise<void>;
  readonly #open: Promise<void>;

  constructor() {
    this.#open = new Promise((done) => (this.release = done));
    this.arrived = new Promise((done) => (this.reached = done));
  }

  async pass(): Promise<void> {
    this.reached();
    await this.#open;
  }
}

/** What the next GPUs do in these places. Their weights are the module's, which has them by then. */
export const script = {
  load: async (_: AbortSignal): Promise<void> => {},
  step: async (): Promise<void> => {},
  export: async (): Promise<void> => {},
  adopted: async (): Promise<void> => {},
};
const usual = { ...script };
/** In this test. */
export const made: PlayedGpu[] = [];

export function reset(): void {
  Object.assign(script, usual);
  made.length = 0;
}

export class PlayedGpu implements Runner {
  readonly kind = 'webgpu';
  readonly device = 'played';
  readonly memory = { weights: 0, kv: 0, activations: 0 };
  readonly engine: Runner['engine'];
  readonly arrivals: Arrivals;
  waits: Promise<void> | undefined;
  disposed = false;

  constructor(model: Model, { signal }: RunnerParts) {
    this.engine = model.createEngine({ context: 1024, threads: 1 });
    this.arrivals = new Arrivals((_, stop) => script.load(stop), signal);
    made.push(this);
  }

  abandon(): void {}
  async step(session: Session): Promise<TokenEvent[]> {
    await script.step();
    if (this.disposed) throw new LaminaError('device', 'it was destroyed in the middle of a step');
    this.arrivals.check();
    this.waits = this.arrivals.complete ? undefined : this.arrivals.next;
    return this.waits ? [] : session.step();
  }
  async opTimes() {
    return this.engine.profile(1);
  }
  async exportKv(session: Session) {
    await script.export();
    return session.exportKv();
  }
  async adopt(session: Session, kv: Uint16Array, positions: number) {
    session.moveTo(this.engine, kv, positions);
    await script.adopted();
  }
  dispose(): void {
    this.disposed = true;
    this.arrivals.stop();
    this.engine.dispose();
  }
}
