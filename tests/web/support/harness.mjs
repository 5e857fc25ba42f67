// SPDX-License-Identifier: Apache-2.0
// Runs functions of the tests beside the store: in the page, or in a dedicated worker of it.
//   inWorker(text, argument), inPage(text, argument): text is of `async (api, argument) => result`
// with api = {ShardStore, exportModel, state, read}; errors come as {error: plain data}.
import { makeApi, perform } from './harness_api.mjs';

const api = makeApi();
let worker = null;
const waiting = new Map();
let next = 0;

function startWorker() {
  worker = new Worker(new URL('harness_worker.mjs', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }) => {
    if (data.event) return globalThis.events.push(data.event);
    waiting.get(data.id)?.(data.answer);
    return waiting.delete(data.id);
  };
}

globalThis.events = [];
globalThis.inPage = (text, argument) => perform(api, text, argument);
globalThis.inWorker = (text, argument) => new Promise((done) => {
  if (!worker) startWorker();
  waiting.set(++next, done);
  worker.postMessage({ id: next, text, argument });
});
globalThis.killWorker = () => {
  worker?.terminate();
  worker = null;
};
globalThis.ready = true;
