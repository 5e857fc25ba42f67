// SPDX-License-Identifier: Apache-2.0
// Sizes of kernels tuned at first use: told from noise, remembered for this device and these kernels, and the same bits.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { openDevice, type GpuFacts } from '../../../web/webgpu/device.ts';
import { browserTuningStore, type TuningStore, type WebGpuExecutor } from '../../../web/webgpu/executor.ts';
import { submissions, type Dispatch } from '../../../web/webgpu/dispatch.ts';
import { candidateSizes, productKey } from '../../../web/webgpu/matmul_ways.ts';
import { tinyModel } from '../../../web/webgpu/oracle.ts';
import { decide, kTuningLimits, tune, type Measure, type Product } from '../../../web/webgpu/tuner.ts';
import { defaultTuning, type VectorSizes } from '../../../web/webgpu/tuning.ts';
import { remember, remembered, tuningKey } from '../../../web/webgpu/tuning_store.ts';
import { dawn, executor, logitsOf, range, rowsOf } from './support.ts';

createRequire(new URL('../../../web/', import.meta.url))('fake-indexeddb/auto');
const gpu = await dawn();
const { device } = await openDevice(gpu);
after(() => device.destroy());

const facts: GpuFacts = {
  subgroup: 32, shaderF16: false, timestamps: true, maxBinding: 1 << 30, maxShared: 49152, maxThreads: 1024, software: false,
  description: 'vendor arch device driver',
};
const usual: VectorSizes = { threads: 256, rows: 4, inFlight: 4, groups: 1056 };
const other = (rows: number, inFlight = 4): VectorSizes => ({ ...usual, rows, inFlight, groups: 528 });
const product: Product = { key: 'down', usual, candidates: [other(2), other(1), other(4, 8)] };

let state = 5;
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) / 2 ** 24;
}

/** A device on which a dispatch takes that long, give or take a share; and how many were asked of it. */
function fake(us: (sizes: VectorSizes) => number, noise: number) {
  const asked = { samples: 0, us: 0 };
  const measure = async (_: Product, sizes: VectorSizes, n: number) => {
    const took = n * us(sizes) * (1 + noise * (2 * random() - 1));
    asked.samples += 1;
    asked.us += Number.isFinite(took) ? took : 0;
    return took;
  };
  return { asked, measure };
}

test('noise leaves what is usual, a clear winner is taken', async () => {
  let fooled = 0;
  for (let run = 0; run < 200; ++run) {
    for (const noise of [0, 0.01]) assert.deepEqual((await tune([product], fake(() => 20, noise).measure)).decided, { down: usual });
    for (const noise of [0.05, 0.2]) {
      const { decided } = await tune([product], fake(() => 20, noise).measure);
      fooled += decided['down'] === usual ? 0 : 1;
    }
    // A gain of less than noise is none; of a little more than nothing neither.
    const small = await tune([product], fake((s) => (s.rows === 2 ? 19.8 : 20), 0.001).measure);
    assert.deepEqual(small.decided, { down: usual });
    const clear = await tune([product], fake((s) => (s.rows === 2 ? 18 : s.rows === 1 ? 15 : 20), 0.02).measure);
    assert.deepEqual(clear.decided, { down: other(1) });
  }
  assert.ok(fooled <= 4, `${fooled} of 400 times`);  // and nothing is lost then
});

test('a winner gains more than it and the usual one vary, and wins in all rounds but one', () => {
  const flat = [20, 20, 20, 20, 20];
  assert.equal(decide([flat, [15, 15, 15, 15, 15]]), 1);
  assert.equal(decide([flat, [15, 15, 20, 15, 15]]), 0);  // itself it varies by more than it gains
  assert.equal(decide([[20, 24, 20, 20, 20], [17, 17, 17, 17, 17]]), 0);  // as much as the usual one varies
  assert.equal(decide([flat, [19.5, 19.5, 19.5, 19.5, 19.5]]), 0);  // not worth it
  assert.equal(decide([flat, [15, 15]]), 0);  // given up after some rounds
  assert.equal(decide([flat, [15, 15, 15, 15, 15], [14, 14, 14, 14, 16], [Infinity]]), 2);
  assert.equal(decide([[20, 20, 16, 20, 20], [16, 16, 16, 16, 16]]), 0);
  // A clock that falls and rises with the rounds: all of them see it.
  assert.equal(decide([[22, 21, 20, 20, 20], [13.2, 12.6, 12, 12, 12]]), 1);
});

test('the hopeless are measured once, and kernels that the device refuses never win', async () => {
  const slow = fake((s) => (s === usual ? 20 : 30), 0);
  await tune([{ ...product, candidates: [] }], slow.measure);
  const calibrating = slow.asked.samples - 1;
  await tune([product], slow.measure);
  assert.equal(slow.asked.samples, 2 * (calibrating + 1) + product.candidates.length);
  const refused = fake((s) => (s.rows === 2 ? Infinity : s.rows === 1 ? 15 : 20), 0.01);
  assert.deepEqual((await tune([product], refused.measure)).decided, { down: other(1) });
});

test('a clock that counts in steps of 65 us makes neither samples long nor winners', async () => {
  const exact = fake((s) => (s.rows === 2 ? 8 : 10), 0);
  const coarse = async (...asked: Parameters<Measure>) => 65.536 * Math.floor(await exact.measure(...asked) / 65.536);
  const { decided, spent } = await tune([product, { ...product, key: 'up', candidates: [other(1)] }], coarse);
  assert.deepEqual(decided, { down: other(2), up: usual });
  assert.ok(spent < 100_000, String(spent));
});

test('the time is bounded: by the device\'s clock and by the wall\'s', async () => {
  const many = range(20).map((i) => ({ ...product, key: `${i}` }));
  const run = fake(() => 20, 0.01);
  const { decided, spent } = await tune(many, run.measure);
  assert.equal(spent, run.asked.us);
  assert.ok(spent > 0.9 * kTuningLimits.budget && spent < kTuningLimits.budget + 2 * kTuningLimits.sample, String(spent));
  const n = Object.keys(decided).length;
  assert.ok(n > 1 && n < 20);  // the others another time
  // Dispatches too slow to be measured ever.
  const slow = fake(() => 50_000, 0);
  assert.deepEqual((await tune([product], slow.measure)).decided, { down: usual });
  assert.equal(slow.asked.samples, 1);
  let clock = 0;
  const compiling = async () => (clock += 1000, 20);
  const late = await tune(many, compiling, kTuningLimits, () => clock);
  assert.deepEqual(late.decided, {});
  assert.ok(clock < 10_000, String(clock));
});

function mapStore(): TuningStore & { readonly map: Map<string, unknown> } {
  const map = new Map<string, unknown>();
  return { map, get: async (key) => map.get(key), set: async (key, value) => void map.set(key, structuredClone(value)) };
}

test('a record serves its device and kernels alone; what is damaged counts as none', async () => {
  for (const store of [mapStore(), browserTuningStore()!]) {
    assert.deepEqual(await remembered(store, facts, [product]), {});
    await remember(store, facts, { down: other(2) });
    await remember(store, facts, { up: usual });  // of another model
    assert.deepEqual(await remembered(store, facts, [product, { ...product, key: 'up' }]), { down: other(2), up: usual });
    for (const changed of [{ description: 'another' }, { subgroup: 0 }, { shaderF16: true }, { maxThreads: 256 }, { maxShared: 16384 }]) {
      assert.deepEqual(await remembered(store, { ...facts, ...changed }, [product]), {}, JSON.stringify(changed));
    }
    const damaged = [
      null, 7, 'x', [], {}, { down: null }, { down: 3 }, { down: {} }, { down: { ...usual, rows: '4' } }, { down: { ...usual, threads: 1 << 20 } },
      { down: { ...usual, rows: 3 } }, { down: { ...other(2), groups: 7 } }, { down: { rows: 4 } },
    ];
    for (const value of damaged) {
      await store.set(tuningKey(facts), value);
      assert.deepEqual(await remembered(store, facts, [product]), {}, JSON.stringify(value));
      await remember(store, facts, { down: usual });
      assert.deepEqual(await remembered(store, facts, [product]), { down: usual });
    }
  }
  assert.match(tuningKey(facts), / [0-9a-f]{16} /);  // the kernels'
  const broken = { get: () => { throw new Error('no'); }, set: async () => { throw new Error('quota'); } };
  assert.deepEqual(await remembered(broken, facts, [product]), {});
  await remember(broken, facts, { down: usual });
});

test('submissions hold each step once, in order', () => {
  const step = range(13).map((layer) => ({ layer }) as Dispatch);
  for (const sizes of [{ parts: 1, tokensTogether: 1 }, { parts: 4, tokensTogether: 1 }, { parts: 5, tokensTogether: 3 }, { parts: 1, tokensTogether: 32 }]) {
    for (const n of [1, 2, 3, 9]) {
      const cut = submissions(step, n, sizes);
      assert.deepEqual(cut.flat(), range(n).flatMap(() => step));
      assert.equal(cut[0]!.length, Math.ceil(13 / sizes.parts));
      assert.ok(cut.every((part) => part.length > 0));
    }
  }
});

const shape = {
  hidden: 300, intermediate: 530, heads: 6, kvHeads: 3, headDim: 12, vocab: 517, layers: 1, group: 0, bias: true,
} as const;
const models = [
  tinyModel({ ...shape, dtype: 'i8' }, 3), tinyModel({ ...shape, dtype: 'i8', group: 32, headDim: 10 }, 4), tinyModel({ ...shape, dtype: 'f16', hidden: 170 }, 5),
];
const ids = [5, 300];
const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0 };

async function bits(e: WebGpuExecutor): Promise<{ logits: Float32Array; tokens: Int32Array }> {
  const logits = await logitsOf(e, ids, 1, range(4));
  return { logits, tokens: await e.decode(rowsOf([9], ids.length, range(4)), 2, greedy) };
}

test('every candidate has the bits of the usual kernels, on sizes that divide by nothing', async () => {
  let tried = 0;
  for (const [n, model] of models.entries()) {
    const e = await executor(device, model, { pages: 4, maxRows: 1, maxLogitRows: 1, withoutSubgroups: n === 1 });
    const want = await bits(e);
    const lanes = e.facts.subgroup || 32;
    // The other models' products in part: kernels differ by dtype, by lanes and by what ends a unit.
    const kinds = n === 0 ? ['qkv_rope', 'matmul_add', 'gate_up_silu', 'logits'] : n === 1 ? ['logits'] : ['gate_up_silu'];
    const all = model.graph.ops.filter((op) => kinds.includes(op.kind)).map((op) => {
      const w = model.graph.weights[op.weight]!;
      return { op, w, sizes: candidateSizes(op, w, defaultTuning(e.facts), e.facts, lanes)! };
    });
    const most = Math.max(...all.map((a) => a.sizes.candidates.length));
    for (let i = 0; i < most; ++i) {
      const products = Object.fromEntries(all.map(({ op, w, sizes }) => [productKey(op, w), sizes.candidates[i] ?? sizes.usual]));
      tried += all.filter((a) => a.sizes.candidates[i]).length;
      e.retune({ products });
      assert.deepEqual(await bits(e), want, JSON.stringify(products));
    }
    e.destroy();
  }
  assert.ok(tried >= 20, String(tried));
});

const options = { pages: 4, maxRows: 1, maxLogitRows: 1 };

test('tuned by a device\'s own clock, and remembered: the same bits, and nothing is measured again', async () => {
  const model = models[0]!;
  const limits = { onSoftware: true, leastBytes: 0, rounds: 2, sample: 100, budget: 1e9, wall: 1e9 };
  const plain = await executor(device, model, options);
  const want = await bits(plain);
  const store = mapStore();
  assert.deepEqual((await plain.tune(store)).decided, {});  // a processor that plays GPU is left alone
  const first = await plain.tune(store, limits);
  assert.equal(Object.keys(first.decided).length, 5);
  assert.ok(first.milliseconds > 0);
  assert.equal(store.map.size, 0);  // not before it is proven
  await plain.ready();
  assert.deepEqual(store.map.get(tuningKey(plain.facts)), first.decided);
  assert.deepEqual(await bits(plain), want);
  plain.destroy();

  const again = await executor(device, model, options);
  const report = await again.tune(store, limits);
  assert.deepEqual([report.remembered, report.decided, report.milliseconds], [first.decided, {}, 0]);
  await again.ready();
  assert.deepEqual(await bits(again), want);
  again.destroy();
});

// Units of one weight row where it can be.
const oneRow: Measure = async (_, sizes, n) => n * (sizes.rows === 1 ? 10 : 20);

test('what wins is taken, unless it computes otherwise: then the usual kernels stay and are remembered', async () => {
  const limits = { onSoftware: true, leastBytes: 0, measure: oneRow, wall: 1e9 };
  // As if a driver's compiler had made a mistake with units of one row.
  const wrong = new Proxy(device, { get: (target, name) => {
    if (name === 'createShaderModule') {
      return (d: GPUShaderModuleDescriptor) => target.createShaderModule({
        ...d, code: d.label === 'logits' && d.code.includes('const R = 1u;') ? d.code.replace('var turn = 0u;', 'var turn = UNROLL;') : d.code });
    }
    const value: unknown = Reflect.get(target, name, target);
    return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
  } });
  for (const on of [device, wrong]) {
    const e = await executor(on, models[2]!, options);
    const want = await bits(e);
    const store = mapStore();
    const { decided, usually } = await e.tune(store, limits);
    const key = Object.keys(decided).find((k) => k.startsWith('logits'))!;
    assert.deepEqual([decided[key]!.rows, usually[key]!.rows], [1, 4]);
    if (on === wrong) assert.notDeepEqual((await bits(e)).logits, want.logits);
    await e.ready();
    assert.deepEqual(await bits(e), want);
    assert.deepEqual(store.map.get(tuningKey(e.facts)), on === wrong ? usually : decided);
    e.destroy();
  }
});
