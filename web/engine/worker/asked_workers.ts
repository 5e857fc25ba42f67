// SPDX-License-Identifier: Apache-2.0
// Helping threads that the page makes, see page_workers.ts.

import type { OnMessage, StartWorker } from '../../abi/threads.ts';
import type { WorkerFailure, WorkerRequest } from '../page_workers.ts';

/** Starts workers by asking at `page`. */
export function workersFrom(page: MessagePort): StartWorker {
  const hearing = new Map<number, OnMessage>();
  let last = 0;
  const ask = (request: WorkerRequest, transfer: MessagePort[] = []) => page.postMessage(request, transfer);
  page.onmessage = ({ data: { id, error } }: MessageEvent<WorkerFailure>) => hearing.get(id)?.({ error });
  return (_url, onMessage) => {
    const id = ++last;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => onMessage(data);
    hearing.set(id, onMessage);
    ask({ id, port: port2 }, [port2]);
    return {
      postMessage: (message, transfer) => port1.postMessage(message, transfer),
      terminate: () => {
        hearing.delete(id);
        port1.close();
        ask({ id, stop: true });
      },
    };
  };
}
