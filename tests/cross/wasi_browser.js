// SPDX-License-Identifier: Apache-2.0
// What wasi.mjs is in Node, in a browser: run({url, args}) runs a WASI program that reads no files and
// gives {code, output}; code 77 if this engine lacks instructions that the program has.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
const EBADF = 8;
const ENOSYS = 52;
const CHARACTER_DEVICE = 2;

class Exit extends Error {}

export async function run({ url, args }) {
  const bytes = await (await fetch(url)).arrayBuffer();
  if (!WebAssembly.validate(bytes)) return { code: 77, output: '' };
  const words = [url, ...args].map((word) => new TextEncoder().encode(`${word}\0`));
  const decoder = new TextDecoder();
  let memory, output = '', code = 0;
  const view = () => new DataView(memory.buffer);
  const calls = {
    args_sizes_get: (count, size) => {
      view().setUint32(count, words.length, true);
      view().setUint32(size, words.reduce((sum, word) => sum + word.length, 0), true);
      return 0;
    },
    args_get: (list, text) => {
      for (const [i, word] of words.entries()) {
        view().setUint32(list + 4 * i, text, true);
        new Uint8Array(memory.buffer).set(word, text);
        text += word.length;
      }
      return 0;
    },
    environ_sizes_get: (count, size) => {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return 0;
    },
    environ_get: () => 0,
    clock_time_get: (_clock, _precision, out) => {
      view().setBigUint64(out, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
    fd_fdstat_get: (fd, out) => {
      if (fd > 2) return EBADF;
      new Uint8Array(memory.buffer, out, 24).fill(0);
      view().setUint8(out, CHARACTER_DEVICE);
      view().setBigUint64(out + 8, ~0n, true);
      return 0;
    },
    fd_write: (fd, vectors, n, written) => {
      if (fd !== 1 && fd !== 2) return EBADF;
      let total = 0;
      for (let i = 0; i < n; ++i) {
        const [at, size] = [view().getUint32(vectors + 8 * i, true), view().getUint32(vectors + 8 * i + 4, true)];
        output += decoder.decode(new Uint8Array(memory.buffer, at, size), { stream: true });
        total += size;
      }
      view().setUint32(written, total, true);
      return 0;
    },
    fd_prestat_get: () => EBADF,
    proc_exit: (given) => {
      code = given;
      throw new Exit();
    },
  };
  const imports = {};
  const module = await WebAssembly.compile(bytes);
  for (const { name } of WebAssembly.Module.imports(module)) imports[name] = calls[name] ?? (() => ENOSYS);
  const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: imports });
  memory = instance.exports.memory;
  try {
    instance.exports._start();
  } catch (thrown) {
    if (!(thrown instanceof Exit)) return { code: 1, output: `${output}\n${thrown.stack ?? thrown}` };
  }
  return { code, output };
}
