// SPDX-License-Identifier: Apache-2.0
// node tests/web/abi/run.mjs LAMINA WASM SCRATCH [node|chromium]: makes models, native logits and
// native answers with the LAMINA program, then runs the suite on all four modules of WASM, in Node
// and in Chromium.
import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { CHROMIUM, inWorker, launch, serve } from './chromium.mjs';
import { brokenKernels } from './broken.js';
import { runSuite } from './suite.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const [lamina, wasm, scratch, only] = process.argv.slice(2);
const GOLDENS = ['llama2-mha-f16', 'llama3-gqa-ropescaled-bf16', 'llama-bias-headdim-f16'];
const PROMPTS = ['Once upon a time', 'In the meadow there lived', 'A small boat'];
const DOCUMENTS = 12;
const THREADS = 2;

const native = (...args) => execFileSync(lamina, args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] });
const at = (...parts) => join(scratch, ...parts);

// A safetensors file's F32 tensors as raw files, NAME.f32 each.
function unpack(file, folder) {
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + size).toString());
  for (const [name, t] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = t.data_offsets;
    writeFileSync(join(folder, `${name}.f32`), bytes.subarray(8 + size + begin, 8 + size + end));
  }
}

function convert(source, name, dtype, ...rest) {
  native('convert', join(root, source), at('models', name), '--dtype', dtype, '--force', ...rest);
  return `models/${name}`;
}

function makeGoldens() {
  return GOLDENS.map((name) => {
    const folder = at('golden', name);
    mkdirSync(folder, { recursive: true });
    cpSync(join(root, 'tests/golden', name, 'golden.json'), join(folder, 'golden.json'));
    unpack(join(root, 'tests/golden', name, 'golden.safetensors'), folder);
    return { folder: convert(`tests/golden/${name}`, `${name}-f32`, 'f32'), golden: `golden/${name}` };
  });
}

// Native logits of the first documents, of int8 by channel and by group.
function makeForced() {
  const lines = readFileSync(join(root, 'tests/models/storyteller/eval.jsonl'), 'utf8').split('\n');
  return [['storyteller-i8', 'i8'], ['storyteller-i8-32', 'i8', '--group', '32'], ['storyteller-f16', 'f16']].map(
    ([name, ...how]) => {
      const folder = convert('tests/models/storyteller', name, ...how);
      const cases = lines.slice(0, DOCUMENTS).map((line, i) => {
        const { ids } = JSON.parse(line);
        const target = at('forced', name, String(i));
        mkdirSync(target, { recursive: true });
        native('logits', '-m', at(folder), '--backend', 'cpu', '--kv', 'f16', '--ids', ids.join(), '-o', `${target}.safetensors`);
        unpack(`${target}.safetensors`, target);
        return { ids, logits: `forced/${name}/${i}/logits.f32` };
      });
      return { folder, cases };
    });
}

function makePlan() {
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(at('models'), { recursive: true });
  const goldens = makeGoldens(), forced = makeForced();
  const folder = 'models/storyteller-i8';
  const prompts = PROMPTS.map((prompt) => {
    const text = native('run', '-m', at(folder), '--backend', 'cpu', '--raw', '-p', prompt, '--temp', '0', '-n', '40');
    return { prompt, text: text.replace(/\n$/, '') };
  });
  const split = convert('tests/models/storyteller', 'storyteller-split', 'i8', '--shard-size', '256K');
  return { goldens, forced, split, answers: { folder, prompts } };
}

const VARIANTS = [false, true].flatMap((relaxed) => [false, true].map((shared) => ({ relaxed, shared })));
const nameOf = (v) => `${v.relaxed ? 'relaxed' : 'simd128'}-${v.shared ? 'shared' : 'single'}`;

async function inNode(plan) {
  const { LaminaModule } = await import(pathToFileURL(join(wasm, 'abi/module.js')));
  const load = async (path) => new Uint8Array(readFileSync(at(path)));
  for (const variant of VARIANTS) {
    const log = (line) => console.log(`node ${nameOf(variant)}: ${line}`);
    log(await runSuite({ LaminaModule, wasm: pathToFileURL(wasm), load, log, variant, threads: THREADS, plan }));
  }
  const file = async (name) => new Uint8Array(readFileSync(join(wasm, name)));
  console.log(`node: ${await brokenKernels({ LaminaModule, file })}`);
}

async function inChromium(plan) {
  const mounts = { wasm, data: scratch, tests: join(root, 'tests/web/abi') };
  const server = await serve(mounts);
  const plain = await serve(mounts, { isolated: false });
  const browser = await launch();
  const run = (url, task, log) => inWorker(url, '/tests/worker.js', task, log, browser);
  try {
    // The same code as in Node, on the same engine of JavaScript: half of the documents will do.
    const forced = plan.forced.map((each) => ({ ...each, cases: each.cases.slice(0, DOCUMENTS / 2) }));
    for (const variant of VARIANTS) {
      const log = (line) => console.log(`chromium ${nameOf(variant)}: ${line}`);
      log(await run(server.url, { variant, threads: THREADS, plan: { ...plan, forced } }, log));
    }
    console.log(`chromium: ${await run(server.url, { broken: true })}`);
    const got = await run(plain.url, { loadOnly: true });
    assert(!got.shared && /COOP/.test(got.notes), JSON.stringify(got));
    console.log(`chromium without COOP and COEP: ${got.notes}`);
  } finally {
    await browser.close();
    await Promise.all([server.close(), plain.close()]);
  }
}

const plan = makePlan();
if (only !== 'chromium') await inNode(plan);
if (only === 'node') console.log('chromium: not asked for');
else if (existsSync(CHROMIUM)) await inChromium(plan);
else {
  console.log(`skipped: no ${CHROMIUM}; what needs none has passed`);
  process.exitCode = 77;
}
