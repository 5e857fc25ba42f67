// SPDX-License-Identifier: Apache-2.0
// Tokens drawn on the device are those of the host's sampler.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { kChoiceWords } from '../../../web/webgpu/buffers.ts';
import { choiceWords, isChoiceOfDevice, type TokenChoice } from '../../../web/webgpu/choice.ts';
import { GPUUsage, openDevice, readBack } from '../../../web/webgpu/device.ts';
import { LaminaError } from '../../../web/webgpu/error.ts';
import { Pipelines } from '../../../web/webgpu/pipelines.ts';
import { expF32, hostSample } from './host_sampler.ts';
import { dawn, range } from './support.ts';

const { device, facts } = await openDevice(await dawn());
after(() => device.destroy());
const kSteps = 12;
const kRowsAt = 8;

let state = 9;
function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) / 2 ** 24;
}

const pipelines = new Pipelines(device, { ROWS_AT: kRowsAt, SELECTED_AT: 12, PAGES_AT: 12, ROPE_AT: 12, HEAD_DIM: 4 });
const usage = GPUUsage.storage | GPUUsage.copySrc | GPUUsage.copyDst;

/** Tokens of kSteps steps over the same logits. */
async function drawn(logits: Float32Array<ArrayBuffer>, choice: TokenChoice): Promise<number[]> {
  const made = await pipelines.get('sample', { SUBGROUPS: false, THREADS: 256, LANES: 32, N_OUT: logits.length });
  const sizes: Record<string, number> = { logits: 16 * Math.ceil(logits.length / 4), head: 64, tokens: 4 * kSteps, choice: 4 * (kChoiceWords + kSteps) };
  const buffers = Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, device.createBuffer({ size, usage })]));
  device.queue.writeBuffer(buffers['logits']!, 0, logits);
  device.queue.writeBuffer(buffers['choice']!, 0, choiceWords(choice, kSteps));
  const bindGroup = device.createBindGroup({
    layout: made.layout, entries: made.bindings.map((b) => ({ binding: b.binding, resource: { buffer: buffers[b.name]! } })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(made.pipeline);
  pass.setBindGroup(0, bindGroup);
  for (let i = 0; i < kSteps; ++i) pass.dispatchWorkgroups(1);
  pass.end();
  const tokens = [...new Int32Array(await readBack(device, encoder, buffers['tokens']!, 4 * kSteps))];
  for (const b of Object.values(buffers)) b.destroy();
  return tokens;
}

const row = (n: number, value: (i: number) => number) => Float32Array.from({ length: n }, (_, i) => value(i));
const rows: Record<string, Float32Array<ArrayBuffer>> = {
  'flat': row(1003, () => 4 * random()),
  'peaked': row(1003, () => 3 * random() ** 9 * 10),
  'with equals': row(1003, () => Math.floor(6 * random())),
  'all equal: more than there is room for': row(1103, () => -2),
  'NaN and -inf': row(1003, (i) => (i % 3 === 0 ? NaN : i % 3 === 1 ? -Infinity : -random())),
  'few candidates': row(1003, (i) => (i % 200 === 7 ? i / 100 : -Infinity)),
  'none': row(1003, () => -Infinity),
  'zeros of both signs': row(1003, (i) => (i % 2 === 0 ? -0 : 0)),
  'far apart': row(1003, () => 300 * random() - 200),
};
const choices: Omit<TokenChoice, 'units'>[] = [
  { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 }, { temperature: 1, topK: 64, topP: 1, minP: 0 },
  { temperature: 1.7, topK: 2, topP: 1, minP: 0 }, { temperature: 0.3, topK: 7, topP: 0.5, minP: 0 },
  { temperature: 100, topK: 33, topP: 1, minP: 0.01 }, { temperature: 0.01, topK: 40, topP: 1e-7, minP: 0 },
];

test('tokens drawn on the device are the host sampler\'s', async () => {
  const seen = new Set<number>();
  for (const [n, [name, logits]] of Object.entries(rows).entries()) {
    for (const c of [choices[n % choices.length]!, choices[(n + 2) % choices.length]!]) {
      const units = Float32Array.from(range(kSteps), (i) => (i === 0 ? 0 : i === 1 ? 1 - 2 ** -24 : random()));
      const got = await drawn(logits, { ...c, units });
      const want = [...units].map((u) => hostSample(logits, c, u));
      assert.deepEqual(got, want, `${name}, ${JSON.stringify(c)}`);
      for (const token of got) seen.add(token);
    }
  }
  assert.ok(seen.size > 30);  // chance has a part in it
});

test('the exponential is the C++ one', () => {
  for (const x of [0, -0.1, -1, -10, -87.2]) assert.ok(Math.abs(expF32(x) / Math.exp(x) - 1) < 2e-6, String(x));
  assert.equal(expF32(-88), 0);
});

test('what the device can not choose is told', () => {
  const c = { temperature: 1, topK: 40, topP: 1, minP: 0 };
  assert.ok(isChoiceOfDevice(c, facts, 1000));
  for (const bad of [{ topK: 0 }, { topK: 1 }, { topK: 1000 }, { topK: 257 }]) assert.ok(!isChoiceOfDevice({ ...c, ...bad }, facts, 1000));
  assert.ok(!isChoiceOfDevice(c, facts, 40));
  for (const units of [undefined, new Float32Array(2), Float32Array.of(0, 1, 0), Float32Array.of(0, NaN, 0)]) {
    assert.throws(() => choiceWords({ ...c, ...(units ? { units } : {}) }, 3),
      (e: unknown) => e instanceof LaminaError && e.code === 'invalid_argument');
  }
});
