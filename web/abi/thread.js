// SPDX-License-Identifier: Apache-2.0
// A helping thread: plain JavaScript, since workers start from a file. Messages:
// {port}: it listens and answers there from now on.
// {module, memory, worker, stack}: it is a thread of a module with shared memory, for life. Answers
// 'ready', or {error}.
// {id, bytes, sha256, place}: is this the SHA-256 (hex) of `bytes`? Then they are copied to `place` as
// well. Answers {id, bytes, good} and gives `bytes` back; {id, error} where it can't tell.

const node = typeof WorkerGlobalScope === 'undefined';
let port = node ? process.getBuiltinModule('node:worker_threads').parentPort : globalThis;

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

async function check({ id, bytes, sha256, place }) {
  try {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    const good = Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('') === sha256;
    if (good) place?.set(bytes);
    port.postMessage({ id, bytes, good }, [bytes.buffer]);
  } catch (error) {
    port.postMessage({ id, error: String(error) });
  }
}

function hear(message) {
  if (message.module) return run(message);
  if (!message.port) return check(message);
  port = message.port;
  port.onmessage = (event) => hear(event.data);
}
if (node) port.on('message', hear);
else globalThis.onmessage = (event) => hear(event.data);
