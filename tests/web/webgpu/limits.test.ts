// SPDX-License-Identifier: Apache-2.0
// A device's limits: asked for, respected, and what becomes of memory that isn't there. On fakes, without a GPU.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateBuffers, sizesOf } from '../../../web/webgpu/buffers.ts';
import { allocate, openDevice, type GpuFacts } from '../../../web/webgpu/device.ts';
import { LaminaError } from '../../../web/webgpu/error.ts';
import { planMatmul, bucketOf } from '../../../web/webgpu/matmul_ways.ts';
import { tinyModel } from '../../../web/webgpu/oracle.ts';
import { defaultTuning } from '../../../web/webgpu/tuning.ts';
import { cutRows, DeviceWeights } from '../../../web/webgpu/weights.ts';
import { range } from './support.ts';

const hasCode = (code: string) => (e: unknown) => e instanceof LaminaError && e.code === code;
const model = tinyModel({
  hidden: 70, intermediate: 99, heads: 6, kvHeads: 3, headDim: 10, vocab: 53, layers: 2, dtype: 'i8', group: 32, bias: true,
});
const options = { pages: 4, maxRows: 16, maxLogitRows: 4 };
const limits = {
  maxStorageBufferBindingSize: 1 << 28, maxBufferSize: 1 << 30, maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256, maxStorageBuffersPerShaderStage: 10,
};
const facts: GpuFacts = {
  subgroup: 0, shaderF16: false, timestamps: false, maxBinding: 1 << 28, maxShared: 16384, maxThreads: 256, software: false, description: '',
};

/** A device that has room for so many buffers; then an error scope, or the call itself, says so. */
function small(room: number, throws = false): { device: GPUDevice; held: Set<object>; sizes: number[]; open: () => number } {
  const held = new Set<object>();
  const sizes: number[] = [];
  const scopes: (GPUError | null)[] = [];
  const device = {
    pushErrorScope: () => void scopes.push(null),
    popErrorScope: async () => scopes.pop() ?? null,
    createBuffer: ({ size }: GPUBufferDescriptor) => {
      if (held.size >= room && throws) throw new RangeError('too large');
      if (held.size >= room) scopes[scopes.length - 1] = { message: 'no room' };
      const buffer = { destroy: () => held.delete(buffer) };
      held.add(buffer);
      sizes.push(size);
      return buffer;
    },
    queue: { writeBuffer: () => {} },
  };
  return { device: device as unknown as GPUDevice, held, sizes, open: () => scopes.length };
}

test('a browser without WebGPU is told in words', async () => {
  await assert.rejects(openDevice(undefined as never), { code: 'unsupported', message: /offers no WebGPU/ });
});

test('all that the adapter has is asked for, and no feature that it lacks', async () => {
  let asked: GPUDeviceDescriptor | undefined;
  const adapter = {
    limits, features: new Set(['timestamp-query', 'depth-clip-control']),
    requestDevice: async (d: GPUDeviceDescriptor) => {
      asked = d;
      return { createBuffer: () => {}, limits: d.requiredLimits, features: new Set(d.requiredFeatures), adapterInfo: { vendor: 'v', description: 'd' } };
    },
  };
  const gpu = { requestAdapter: async () => adapter } as unknown as GPU;
  const opened = await openDevice(gpu);
  assert.deepEqual(asked!.requiredLimits, limits);
  assert.deepEqual(asked!.requiredFeatures, ['timestamp-query']);
  assert.equal(opened.facts.maxBinding, 1 << 28);
  assert.equal((await openDevice(gpu, { maxBinding: 4096 })).facts.maxBinding, 4096);
});

test('too large a buffer is an error whichever way it is told', async () => {
  for (const throws of [false, true]) {
    const { device, held, open } = small(0, throws);
    await assert.rejects(allocate(device, 'weights', 1 << 20, 0), (e: unknown) => hasCode('out_of_memory')(e) && /weights \(1048576 bytes\)/.test(String(e)));
    assert.equal(held.size, 0);
    assert.equal(open(), 0);
  }
});

test('what was allocated before memory ran out is given back', async () => {
  const sizes = sizesOf(model.graph, options);
  for (const room of [3, 9, 14]) {
    const { device, held } = small(room);
    await assert.rejects(allocateBuffers(device, facts, model.graph, options, sizes), hasCode('out_of_memory'));
    assert.equal(held.size, 0);
    await assert.rejects(DeviceWeights.create(device, model.graph, facts.maxBinding), hasCode('out_of_memory'));
    assert.equal(held.size, 0);
  }
  const { device } = small(Infinity);
  await assert.rejects(allocateBuffers(device, { ...facts, maxBinding: 2048 }, model.graph, options, sizes), hasCode('resource_exhausted'));
});

test('no binding is larger than the device allows, and every row lies in one part', async () => {
  for (const maxBinding of [1 << 28, 4000, 1500]) {
    const { device, sizes } = small(Infinity);
    const weights = await DeviceWeights.create(device, model.graph, maxBinding);
    assert.ok(Math.max(...sizes) <= maxBinding, `${Math.max(...sizes)} of ${maxBinding}`);
    if (maxBinding === 1500) assert.ok(weights.parts.some((parts) => parts.length > 3));
  }
  await assert.rejects(DeviceWeights.create(small(Infinity).device, model.graph, 100), hasCode('unsupported'));
  for (const [rows, most, unit, paired] of [[100, 100, 1, false], [101, 12, 4, false], [198, 40, 4, true], [60, 24, 12, false]] as const) {
    const seen = cutRows(rows, most, unit, paired).flatMap((p) => {
      assert.ok(p.rows <= most);
      return p.strips.flatMap((s) => range(s.rows, s.begin));
    });
    assert.deepEqual(seen.sort((a, b) => a - b), range(rows));
  }
});

test('tiles fit the shared memory and the threads that there are', () => {
  const tuning = { ...defaultTuning(facts), tileWeights: 8, tileX: 8, leastGroups: 1 };
  const op = model.graph.ops.find((o) => o.kind === 'gate_up_silu')!;
  const w = { ...model.graph.weights[op.weight]!, rows: 4096, cols: 2048, rowBytes: 2048 };
  for (const maxShared of [16384, 32768, 49152]) {
    const own = { ...facts, maxShared };
    const { constants: c } = planMatmul(op, w, bucketOf(512, tuning, own), tuning, own, 256, 32, false);
    const [step, each, x] = [c['STEP'], c['TILE_W'], c['TILE_X']] as number[];
    assert.ok(16 * step! * 16 * (each! + x!) <= maxShared, JSON.stringify(c));
    assert.equal(step! * each!, maxShared === 16384 ? 32 : 64);
  }
  assert.equal(bucketOf(512, tuning, { ...facts, maxThreads: 128 }).way, 'rows');
});
