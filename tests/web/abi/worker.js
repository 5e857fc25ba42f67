// SPDX-License-Identifier: Apache-2.0
// The suite in a browser's worker: /wasm, /data and /tests are served beside each other.
import { LaminaModule } from '/wasm/abi/module.js';
import { brokenKernels } from './broken.js';
import { runSuite } from './suite.js';

const load = async (path) => {
  const response = await fetch(`/data/${path}`);
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
};

onmessage = async ({ data: task }) => {
  try {
    const log = (line) => postMessage({ log: line });
    if (task.loadOnly) {
      const module = await LaminaModule.load(new URL('/wasm', location.href), { threads: 2 });
      return postMessage({ done: { ...module.variant, notes: module.notes.join('; ') } });
    }
    const file = async (name) => (await fetch(`/wasm/${name}`)).arrayBuffer();
    if (task.broken) return postMessage({ done: await brokenKernels({ LaminaModule, file }) });
    const wasm = new URL('/wasm', location.href);
    postMessage({ done: await runSuite({ LaminaModule, wasm, load, log, ...task }) });
  } catch (error) {
    postMessage({ error: `${error.code ?? ''} ${error.stack ?? error}` });
  }
};
