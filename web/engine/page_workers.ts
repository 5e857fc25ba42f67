// SPDX-License-Identifier: Apache-2.0
// The helping threads of an engine's worker, made by the page. In Firefox a worker that makes one itself
// waits inside `new Worker` for the page's thread, and one start in eight never comes back.

/** Asked by the engine's worker: a worker of thread.js that talks at `port`, or its end. */
export type WorkerRequest = { id: number; port: MessagePort } | { id: number; stop: true };
/** Told to it: why that worker can't run. */
export interface WorkerFailure { id: number; error: string }

export class PageWorkers {
  /** For the engine's worker. */
  readonly asking: MessagePort;
  private readonly port: MessagePort;
  private readonly workers = new Map<number, Worker>();
  private readonly assets: string | undefined;

  /** `assets`: the folder of thread.js, absolute; default: beside this file. */
  constructor(assets: string | undefined) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.asking = port2;
    this.assets = assets;
    port1.onmessage = ({ data }: MessageEvent<WorkerRequest>) => ('stop' in data ? this.stop(data.id) : this.start(data));
  }

  /** Ends all of them, and hears no more. */
  close(): void {
    this.port.close();
    for (const id of [...this.workers.keys()]) this.stop(id);
  }

  private start({ id, port }: { id: number; port: MessagePort }): void {
    const fail = (error: string) => this.port.postMessage({ id, error } satisfies WorkerFailure);
    try {
      const worker = this.assets === undefined // the literal form is what bundlers look for
        ? new Worker(new URL('./thread.js', import.meta.url), { type: 'module' })
        : new Worker(new URL('thread.js', this.assets), { type: 'module' });
      worker.onerror = (event) => {
        event.preventDefault(); // handled: not an error of the page too
        fail(event.message || 'the worker did not load');
      };
      worker.postMessage({ port }, [port]);
      this.workers.set(id, worker);
    } catch (thrown) {
      fail(String(thrown));
    }
  }

  private stop(id: number): void {
    this.workers.get(id)?.terminate();
    this.workers.delete(id);
  }
}
