// SPDX-License-Identifier: Apache-2.0
// Whole models on WebGPU against transformers (goldens) and the native CPU engine.
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { after, test } from 'node:test';
import { openDevice } from '../../../web/webgpu/device.ts';
import { LaminaError } from '../../../web/webgpu/error.ts';
import { WebGpuExecutor, planMemory, type TokenChoice } from '../../../web/webgpu/executor.ts';
import { hostSample } from './host_sampler.ts';
import {
  argmax, dawn, executor, kRoot, logitsInSteps, logitsOf, model, nativeLogits, range, rowError, rowsOf, tensor, together,
} from './support.ts';

// One device for all: what tests have in common is compiled once.
const gpu = await dawn();
const { device } = await openDevice(gpu);
const kStoryteller = 'tests/models/storyteller';
const greedy: TokenChoice = { temperature: 0, topK: 0, topP: 1, minP: 0 };
const documents = fs.readFileSync(path.join(kRoot, kStoryteller, 'eval.jsonl'), 'utf8')
  .split('\n').filter(Boolean).map((line) => (JSON.parse(line) as { ids: number[] }).ids);

const hasCode = (code: string) => (error: unknown) => error instanceof LaminaError && error.code === code;
const row = (logits: Float32Array, i: number, vocab: number) => logits.subarray(i * vocab, (i + 1) * vocab);

// Dawn keeps a process alive that still has devices.
const open: WebGpuExecutor[] = [];
after(() => {
  for (const e of open) e.destroy();
  device.destroy();
});
async function started(...args: Parameters<typeof executor>): Promise<WebGpuExecutor> {
  const e = await executor(...args);
  open.push(e);
  return e;
}

// tests/golden/golden_test.cc derives the tolerance; kernels that use several threads sum like SIMD does.
const kGoldenTolerance = 3e-4;
for (const folder of ['llama2-mha-f16', 'llama3-gqa-ropescaled-bf16', 'llama-bias-headdim-f16']) {
  for (const dtype of ['f32', 'f16']) {
    test(`golden ${folder} in ${dtype}`, async () => {
      const m = model(`tests/golden/${folder}`, dtype);
      const e = await started(device, m, { kvDtype: 'f32' });
      const home = path.join(kRoot, 'tests/golden', folder);
      const { cases } = JSON.parse(fs.readFileSync(path.join(home, 'golden.json'), 'utf8')) as {
        cases: { ids: number[]; logits: string; greedy_from_first_32: number[] }[];
      };
      const { vocab } = m.graph.config;
      // Two, three and eight rows take kernels of their own; f32 ones of few rows are in ops.test.ts.
      const steps = dtype === 'f16' ? [64, 1, 3, 8, 2, 64] : [64, 1, 8, 64, 1, 64];
      let worst = 0;
      for (const [n, c] of cases.entries()) {
        if (dtype === 'f32' && ![0, 1, 3].includes(n)) continue;  // one kernel each: many rows, one, several
        const want = tensor(path.join(home, 'golden.safetensors'), c.logits);
        const got = await logitsOf(e, c.ids, steps[n]!);
        for (let i = 0; i < c.ids.length; ++i) worst = Math.max(worst, rowError(row(got, i, vocab), row(want, i, vocab)));
        if (dtype === 'f32' && n !== 1) continue;
        const prompt = c.ids.slice(0, 32);
        if (prompt.length > 1) await e.step(rowsOf(prompt.slice(0, -1), 0, range(16), false));
        const told = await e.decode(rowsOf(prompt.slice(-1), prompt.length - 1, range(16)), c.greedy_from_first_32.length, greedy);
        assert.deepEqual([...told], c.greedy_from_first_32, `case ${n}`);
      }
      assert.equal(cases.length, 6);
      assert.ok(worst <= kGoldenTolerance, `row error ${worst}`);
    });
  }
}

// What tests/vulkan/agreement_test.cc asserts, see D-013. On a real device POSITIONS=20000 takes all there are.
const kPositions = Number(process.env['POSITIONS'] ?? 0);
for (const dtype of ['i8', 'f16']) {
  test(`storyteller in ${dtype}: forced decoding is the CPU's`, async () => {
    const m = model(kStoryteller, dtype);
    const exact = model(kStoryteller, 'f32');
    const e = await started(device, m);
    const { vocab } = m.graph.config;
    let positions = 0, same = 0, tied = 0, distance = 0, cpuLoss = 0, gpuLoss = 0;
    for (const [n, ids] of documents.entries()) {
      if (positions >= (kPositions || (dtype === 'i8' ? 400 : 100))) break;
      // Of the second, twenty rows about the end of a page are steps of their own.
      const got = n === 1 ? await logitsInSteps(e, ids, [54, ...range(21, 55), ids.length]) : await logitsOf(e, ids, 64);
      const want = nativeLogits(m, ids, '--kv', 'f16');
      const unquantized = nativeLogits(exact, ids, '--kv', 'f16');
      for (let i = 0; i < ids.length; ++i, ++positions) {
        const [g, w, u] = [row(got, i, vocab), row(want, i, vocab), row(unquantized, i, vocab)];
        const chosen = argmax(g);
        const right = argmax(w);
        same += chosen === right ? 1 : 0;
        tied += w[right]! - w[chosen]! <= 0.05 ? 1 : 0;
        distance += rowError(g, w);
        cpuLoss += rowError(w, u);
        gpuLoss += rowError(g, u);
      }
    }
    console.log(`${dtype}: ${same} of ${positions} agree, ${tied} agree or are tied, row error ` +
      `${(distance / positions).toExponential(2)}, loss against f32 weights ` +
      `${(gpuLoss / positions).toExponential(2)}, the CPU's ${(cpuLoss / positions).toExponential(2)}`);
    assert.ok(positions >= 100);
    assert.ok(same >= (dtype === 'i8' ? 0.99 : 0.999) * positions);
    assert.ok(tied >= 0.999 * positions);
    if (dtype === 'f16') assert.ok(distance <= 1e-3 * positions);
    if (dtype === 'i8') assert.ok(distance <= 0.6 * cpuLoss);
    if (dtype === 'i8') assert.ok(gpuLoss <= 1.1 * cpuLoss);  // of 416 rows 1.06, of 20,007 1.005 on an H200
  });
}

test('groups, without subgroups, tensors in parts: the same logits', async () => {
  const ids = documents[0]!.slice(0, 16);
  const without = { withoutSubgroups: true };
  const parts = { maxBinding: 150_000 };
  const cases = [
    [{ ...without, ...parts }, 'i8', '--group', '64'], [parts, 'i8', '--group', '128'], [{ ...without, ...parts }, 'f16'], [parts, 'i8'],
  ] as const;
  for (const [options, dtype, ...flags] of cases) {
    const m = model('tests/models/storyteller-draft', dtype, ...flags);
    const { vocab } = m.graph.config;
    const want = nativeLogits(m, ids, '--kv', 'f16');
    const e = await executor(device, m, { pages: 4, maxRows: 16, maxLogitRows: 16, ...options });
    for (const [rows, n] of [[1, 5], [16, 16]] as const) {
      const got = await logitsOf(e, ids.slice(0, n), rows, range(4));
      let sum = 0;
      for (let i = 0; i < n; ++i) sum += rowError(row(got, i, vocab), row(want, i, vocab)) / n;
      assert.ok(sum < (dtype === 'i8' ? 0.012 : 1e-4), `${dtype} ${flags.join(' ')} ${JSON.stringify(options)} ${rows}: ${sum}`);
    }
    e.destroy();
  }
});

test('several sequences, scattered pages, page borders', async () => {
  const m = model('tests/models/storyteller-draft', 'f16');
  const e = await started(device, m);
  const { vocab } = m.graph.config;
  const [a, b] = [documents[1]!.slice(0, 70), documents[2]!.slice(0, 131)];
  const alone = [await logitsOf(e, a, 64), await logitsOf(e, b, 64)];
  const pagesA = [9, 3];
  const pagesB = [0, 15, 7];
  await e.step(rowsOf(a.slice(0, 63), 0, pagesA, false));
  await e.step(rowsOf(b.slice(0, 64), 0, pagesB, false));
  await e.step(rowsOf(b.slice(64, 126), 64, pagesB, false));
  for (let i = 0; i < 5; ++i) {
    const both = await e.step(together(rowsOf([a[63 + i]!], 63 + i, pagesA), rowsOf([b[126 + i]!], 126 + i, pagesB)));
    assert.ok(rowError(row(both, 0, vocab), row(alone[0]!, 63 + i, vocab)) < 1e-4);
    assert.ok(rowError(row(both, 1, vocab), row(alone[1]!, 126 + i, vocab)) < 1e-4);
  }
  // A prompt beside a decoding sequence; of the prompt only the last row wants logits.
  const prompt = rowsOf(a.slice(0, 40), 0, [1]);
  prompt.wantsLogits.fill(0, 0, 39);
  const mixed = await e.step(together(rowsOf([a[68]!], 68, pagesA), prompt));
  assert.ok(rowError(row(mixed, 0, vocab), row(alone[0]!, 68, vocab)) < 1e-4);
  assert.ok(rowError(row(mixed, 1, vocab), row(alone[0]!, 39, vocab)) < 1e-4);
});

test('tokens chosen on the device, the likeliest or by chance, are those of single steps', async () => {
  const m = model(kStoryteller, 'i8');
  const e = await started(device, m, { tuning: { parts: 4, tokensTogether: 2 } });
  const prompt = documents[3]!.slice(0, 60);
  await e.step(rowsOf(prompt.slice(0, -1), 0, range(16), false));
  const kv = await e.exportKv(Int32Array.from(range(1)), 59);
  const units = Float32Array.from(range(8), (i) => ((i * 37 + 11) % 100) / 100);
  const chance: TokenChoice = { temperature: 9, topK: 30, topP: 1, minP: 0, units };
  const answers: number[][] = [];
  for (const choice of [greedy, chance]) {
    await e.importKv(Int32Array.from(range(1)), 59, kv);
    const told = await e.decode(rowsOf(prompt.slice(-1), 59, range(16)), 8, choice);
    await e.importKv(Int32Array.from(range(1)), 59, kv);
    let token = prompt.at(-1)!;
    for (let i = 0; i < 8; ++i) {
      const logits = await e.step(rowsOf([token], 59 + i, range(16)));
      token = choice.units ? hostSample(logits, choice, units[i]!) : argmax(logits);
      assert.equal(told[i], token, `token ${i}`);
    }
    answers.push([...told]);
  }
  assert.notDeepEqual(answers[0], answers[1]);
});

test('KV goes out and comes back, into other pages and another engine', async () => {
  const m = model('tests/golden/llama3-gqa-ropescaled-bf16', 'f16');
  const ids = range(80, 5);
  for (const kvDtype of ['f16', 'f32'] as const) {
    const e = await started(device, m, { kvDtype });
    const other = await started(device, m, { kvDtype, pages: 12 });
    const want = await logitsOf(e, ids, 40);
    const pages = Int32Array.from([5, 2]);
    await e.step(rowsOf(ids.slice(0, 40), 0, [...pages], false));
    await e.step(rowsOf(ids.slice(40, 79), 40, [...pages], false));
    const kv = await e.exportKv(pages, 79);
    const { layers, kvHeads, headDim, vocab } = m.graph.config;
    assert.equal(kv.length, layers * 2 * kvHeads * 79 * headDim);
    await other.importKv(Int32Array.from([11, 4]), 79, kv);
    assert.deepEqual(await other.exportKv(Int32Array.from([11, 4]), 79), kv);
    const got = await other.step(rowsOf(ids.slice(79), 79, [11, 4]));
    assert.ok(rowError(got, row(want, 79, vocab)) < 2e-3);
    await assert.rejects(e.exportKv(pages, 129), hasCode('invalid_argument'));
    await assert.rejects(e.importKv(pages, 79, kv.subarray(1)), hasCode('invalid_argument'));
  }
});

test('bad batches, missing shards and budgets are refused', async () => {
  const m = model('tests/golden/llama2-mha-f16', 'f16');
  const e = await started(device, m);
  const good = rowsOf([1, 2], 0, range(2));
  const bad = [
    { ...good, tokens: Int32Array.of(1, m.graph.config.vocab) }, { ...good, tokens: Int32Array.of(-1, 0) },
    { ...good, kvIndices: Int32Array.of(127, 128) }, { ...good, blockTable: Int32Array.of(16, 0) },
    { ...good, sequence: Int32Array.of(0, 1) }, { ...good, positions: Int32Array.of(0) },
    rowsOf(range(65), 0, range(2)), rowsOf([], 0, [0]),
  ];
  for (const b of bad) await assert.rejects(e.step(b), hasCode('invalid_argument'));
  await assert.rejects(e.decode(good, 4, greedy), hasCode('invalid_argument'));
  await assert.rejects(e.decode(rowsOf([1], 126, range(2)), 3, greedy), hasCode('invalid_argument'));
  assert.throws(() => e.uploadShard(0, new Uint8Array(8)), hasCode('invalid_argument'));
  const first = e.step(good);
  await assert.rejects(e.step(good), hasCode('invalid_argument'));  // one at a time
  await first;

  const options = { pages: 16, maxRows: 64, maxLogitRows: 64 };
  const empty = await WebGpuExecutor.create(gpu, m.graph, options);
  await assert.rejects(empty.ready(), hasCode('invalid_argument'));
  empty.destroy();
  const plan = planMemory(m.graph, options);
  const total = plan.weightBytes + plan.kvBytes + plan.activationBytes;
  await assert.rejects(WebGpuExecutor.create(gpu, m.graph, { ...options, memoryBudget: total - 1 }), hasCode('resource_exhausted'));
  await assert.rejects(WebGpuExecutor.create(gpu, m.graph, { ...options, maxBinding: 4096 }), hasCode('resource_exhausted'));
  const none = { requestAdapter: async () => null, wgslLanguageFeatures: new Set(['packed_4x8_integer_dot_product']) } as unknown as GPU;
  await assert.rejects(WebGpuExecutor.create(none, m.graph, options), hasCode('unsupported'));
});

test('a lost device is told, and ends steps with an error', async () => {
  const m = model('tests/golden/llama2-mha-f16', 'f16');
  const adapter = (await gpu.requestAdapter())!;
  const device = await adapter.requestDevice();  // default limits, no features
  const e = await executor(gpu, m, { maxRows: 1, maxLogitRows: 1 });
  e.destroy();
  assert.equal((await e.lost).destroyed, true);
  await assert.rejects(e.step(rowsOf([1], 0, [0])), hasCode('device'));

  const borrowed = await WebGpuExecutor.create(device, m.graph, { pages: 4, maxRows: 1, maxLogitRows: 1 });
  assert.equal(borrowed.facts.subgroup, 0);
  m.shards.forEach((bytes, i) => borrowed.uploadShard(i, bytes));
  await borrowed.ready();
  const under = borrowed.step(rowsOf([1], 0, [0]));
  device.destroy();
  await under.then(() => undefined, (error: unknown) => assert.ok(hasCode('device')(error), String(error)));
  assert.ok((await borrowed.lost).message.length > 0);
  await assert.rejects(borrowed.step(rowsOf([1], 0, [0])), hasCode('device'));
});

test('a GPU that keeps silent ends the step, and what is asked later', async () => {
  const m = model('tests/golden/llama2-mha-f16', 'f16');
  const options = { pages: 4, maxRows: 8, maxLogitRows: 1, patience: 60_000 };
  const deaf = { requestAdapter: () => new Promise(() => {}) } as unknown as GPU;
  await assert.rejects(WebGpuExecutor.create(deaf, m.graph, { ...options, patience: 20 }), /not answered for 0.02 s/);

  const adapter = (await gpu.requestAdapter())!;
  const device = await adapter.requestDevice();
  let silent = false;
  const { createBuffer } = device;
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(device, descriptor);
    const { mapAsync } = buffer;
    buffer.mapAsync = (...range) => (silent ? new Promise(() => {}) : mapAsync.apply(buffer, range));
    return buffer;
  };
  const e = await WebGpuExecutor.create(device, m.graph, options);
  m.shards.forEach((bytes, i) => e.uploadShard(i, bytes));
  await e.ready();
  await e.step(rowsOf([1], 0, [0]));
  silent = true;
  options.patience = 100;
  await assert.rejects(e.step(rowsOf([1], 1, [0])), hasCode('device'));
  await assert.rejects(e.step(rowsOf([1], 1, [0])), /lost: the GPU has not answered/);
  e.destroy();
  device.destroy();
});
