// SPDX-License-Identifier: Apache-2.0
// Measures the engines in Chromium, first with an empty store, then with the model in it.
//   node tests/e2e/browser/measure.mjs MODEL_FOLDER [--engine wasm,webgpu] [--threads N] [--tokens N]
//     [--prompt TEXT] [--modules build/wasm] [--package FOLDER] [--repeat N] [--serve]
// --serve: only serves the page for use by hand. Prints one line of JSON for each run.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findChromium } from '../../web/support/browser.mjs';
import { startFaultyServer } from '../../web/support/faulty_server.mjs';
import { heapOf } from '../../web/support/heap.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const { values: o, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: 'string', default: 'wasm,webgpu' }, threads: { type: 'string', default: '2' },
    tokens: { type: 'string', default: '128' }, prompt: { type: 'string', default: 'Once upon a time' },
    modules: { type: 'string', default: join(root, 'build/wasm') }, package: { type: 'string' },
    repeat: { type: 'string', default: '1' }, serve: { type: 'boolean', default: false },
  },
});
const found = findChromium();
if (positionals.length !== 1 || (found.why && !o.serve)) {
  console.error(positionals.length === 1 ? `skipped: ${found.why}` : 'give the folder of a model');
  process.exit(positionals.length === 1 ? 77 : 2);
}

const work = await mkdtemp(join(tmpdir(), 'lamina-measure-'));
const pkg = o.package ?? join(work, 'package');
if (!existsSync(join(pkg, 'dist'))) {
  execFileSync(process.execPath, [join(root, 'web/engine/build.mjs'), o.modules, pkg], { stdio: 'inherit' });
}
const server = await startFaultyServer({ folder: resolve(positionals[0]), mounts: { pkg, measure: here } });
const address = `${server.url}/measure/measure.html`;

const rounded = (value) => typeof value === 'number' ? Number(value.toPrecision(4))
  : Array.isArray(value) ? value.map(rounded)
  : value && typeof value === 'object'
    ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, rounded(each)]))
    : value;
const megabytes = ({ heap, buffers, both }) => ({ heap: heap / 1e6, buffers: buffers / 1e6, both: both / 1e6 });

async function run(context, name, engine) {
  const page = await context.newPage();
  const heaps = await heapOf(page);
  await page.goto(address);
  await page.waitForFunction(() => globalThis.measure !== undefined);
  const [ofPage, ofWorker] = [heaps.peak(''), heaps.peak('engine_worker')];
  const options = { model: '/models/folder/', engine, threads: Number(o.threads), prompt: o.prompt, tokens: Number(o.tokens) };
  const seen = await page.evaluate((given) => globalThis.measure(given), options);
  const heap = { page_megabytes: megabytes(ofPage()), worker_megabytes: megabytes(ofWorker()) };
  console.log(JSON.stringify(rounded({ run: name, ...seen, ...heap })));
  await page.close();
}

if (o.serve) {
  console.log(address);
} else {
  try {
    for (const engine of o.engine.split(',')) {
      const profile = await mkdtemp(join(work, 'profile-'));
      const context = await found.chromium.launchPersistentContext(profile, found.options);
      try {
        await run(context, 'first', engine);
        for (let i = 0; i < Number(o.repeat); ++i) await run(context, 'stored', engine);
      } finally {
        await context.close();
      }
    }
  } finally {
    await server.close();
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
  }
}
