// SPDX-License-Identifier: Apache-2.0
// Modules with a kernel that computes something else: the self-test finds it, and another variant
// takes its place. env: {LaminaModule, file(name)}; file gives a module's bytes.
import { check } from './helpers.js';

// An instruction by its bytes, and another of as many operands in its place.
const F32X4_MUL_AS_ADD = [[0xfd, 0xe6, 0x01], [0xfd, 0xe4, 0x01]];

function replaced(bytes, [from, to]) {
  const out = new Uint8Array(bytes);
  let count = 0;
  for (let i = 0; i + from.length <= out.length; ++i) {
    if (from.some((byte, j) => out[i + j] !== byte)) continue;
    out.set(to, i);
    ++count;
  }
  check(count > 0, 'the instruction is there');
  return out;
}

async function failure(load) {
  try {
    await load();
  } catch (error) {
    return error;
  }
  return {};
}

export async function brokenKernels(env) {
  const threads = 2;
  const relaxedBroken = async (file) => {
    const bytes = await env.file(file);
    return /relaxed/.test(file) ? replaced(bytes, F32X4_MUL_AS_ADD) : bytes;
  };
  const fallen = await env.LaminaModule.load(relaxedBroken, { threads });
  check(!fallen.variant.relaxed && fallen.variant.shared, 'SIMD128 in place of relaxed, threads as before');
  check(fallen.notes.some((note) => /simd128-shared\.wasm in place of a better one: .+/.test(note)),
    `a note: ${fallen.notes}`);
  fallen.dispose();
  const allBroken = async (file) => replaced(await env.file(file), F32X4_MUL_AS_ADD);
  const error = await failure(() => env.LaminaModule.load(allBroken, { threads }));
  check(error.code === 'device' && /kernel|wrong|differ/i.test(error.message), `one error: ${error.message}`);
  const noThreads = await env.LaminaModule.load(env.file,
    { threads, threadUrl: new URL('data:text/javascript,throw new Error("no thread")') });
  check(!noThreads.variant.shared && noThreads.threads === 1, 'one thread where workers do not start');
  noThreads.dispose();
  return `broken kernels: ${error.message}`;
}
