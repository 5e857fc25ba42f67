// SPDX-License-Identifier: Apache-2.0
// A thread of a module with shared memory: plain JavaScript, since workers start from a file. Its
// one message {module, memory, worker, stack} tells it who it is; it answers 'ready', or {error}.

const node = typeof WorkerGlobalScope === 'undefined';
const port = node ? process.getBuiltinModule('node:worker_threads').parentPort : globalThis;

async function run({ module, memory, worker, stack }) {
  try {
    const refuse = () => 8; // EBADF: kernels have no business with the system
    const wasi = { clock_time_get: refuse, fd_write: refuse, fd_seek: refuse, fd_close: refuse };
    const imports = { env: { memory }, wasi_snapshot_preview1: wasi };
    const { exports } = await WebAssembly.instantiate(module, imports);
    exports.__stack_pointer.value = stack;
    port.postMessage('ready');
    exports.lamina_worker_run(worker);
  } catch (error) {
    port.postMessage({ error: String(error) });
  }
  if (!node) globalThis.close();
}

if (node) port.once('message', run);
else globalThis.onmessage = (event) => run(event.data);
