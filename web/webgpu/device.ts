// SPDX-License-Identifier: Apache-2.0
// A WebGPU device with all that its adapter offers, and what kernels need to know of it.
import { LaminaError } from './error.ts';

export interface GpuFacts {
  /** Threads of a subgroup; 0: kernels do without. */
  readonly subgroup: number;
  readonly shaderF16: boolean;
  readonly timestamps: boolean;
  /** Bytes of one storage binding, and of one buffer, at most: the smaller. */
  readonly maxBinding: number;
  /** Bytes of shared memory of a workgroup. */
  readonly maxShared: number;
  readonly maxThreads: number;
  /** A processor that plays GPU. */
  readonly software: boolean;
  /** For people: vendor, architecture, device. */
  readonly description: string;
}

export interface OpenedDevice {
  readonly device: GPUDevice;
  readonly facts: GpuFacts;
  /** Whether it was made here, and is destroyed with its executor. */
  readonly owned: boolean;
}

export interface DeviceOptions {
  /** Refuse a processor that plays GPU. */
  readonly hardwareOnly?: boolean;
  /** Do without these even where they are there; for tests. */
  readonly withoutSubgroups?: boolean;
  readonly withoutShaderF16?: boolean;
  /** Bytes; smaller than the device's: for tests. */
  readonly maxBinding?: number;
  /** Milliseconds that the GPU may keep silent, kPatience by default. */
  readonly patience?: number | undefined;
}

/** Longer than anything takes that is asked of a GPU at once; one that hangs says nothing, ever. */
export const kPatience = 60_000;

/** What the GPU answers. Where it keeps silent for `patience` ms, calls `onSilence` and throws LaminaError `device`. */
export async function answered<T>(
  work: Promise<T>, patience = kPatience, onSilence: (message: string) => void = () => {},
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    const what = `the GPU has not answered for ${patience / 1000} s`;
    timer = setTimeout(() => {
      onSilence(what);
      reject(new LaminaError('device', what));
    }, patience);
  });
  try {
    return await Promise.race([work, silence]);
  } finally {
    clearTimeout(timer);
  }
}

const kLimits = [
  'maxStorageBufferBindingSize', 'maxBufferSize', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxStorageBuffersPerShaderStage',
] as const;
const kFeatures: readonly GPUFeatureName[] = ['subgroups', 'shader-f16', 'timestamp-query'];

/** Vendor, architecture, device. */
function describe(info: GPUAdapterInfo): string {
  return [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ');
}

/** Whether a processor plays GPU there: SwiftShader, lavapipe. Browsers may hide it. */
export function isSoftware(info: GPUAdapterInfo): boolean {
  return info.isFallbackAdapter || /swiftshader|llvmpipe|software|cpu/i.test(describe(info));
}

/**
 * A device of `gpu`, or `gpu` itself where it is one already. Throws LaminaError `unsupported` where
 * `gpu` is a browser's that has none, there is no adapter, or it lacks what every kernel needs.
 */
export async function openDevice(gpu: GPU | GPUDevice, options: DeviceOptions = {}): Promise<OpenedDevice> {
  if (!gpu) throw new LaminaError('unsupported', 'this browser offers no WebGPU to this page');
  if ('createBuffer' in gpu) return { device: gpu, facts: await factsOf(gpu, options), owned: false };
  if (gpu.wgslLanguageFeatures && !gpu.wgslLanguageFeatures.has('packed_4x8_integer_dot_product')) {
    throw new LaminaError('unsupported', 'this browser\'s WGSL lacks packed_4x8_integer_dot_product');
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new LaminaError('unsupported', 'WebGPU is there, but has no adapter');
  if (options.hardwareOnly && isSoftware(adapter.info)) {
    throw new LaminaError('unsupported', `the GPU here is played by the processor (${describe(adapter.info)}), which is faster in WebAssembly`);
  }
  const requiredLimits: Record<string, number> = {};
  for (const name of kLimits) requiredLimits[name] = adapter.limits[name];
  const device = await adapter.requestDevice({
    requiredLimits,
    requiredFeatures: kFeatures.filter((feature) => adapter.features.has(feature)),
  });
  return { device, facts: await factsOf(device, options), owned: true };
}

async function factsOf(device: GPUDevice, options: DeviceOptions): Promise<GpuFacts> {
  const { limits, adapterInfo: info } = device;
  const allowed = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  return {
    subgroup: options.withoutSubgroups ? 0 : await provenSubgroup(device),
    shaderF16: device.features.has('shader-f16') && !options.withoutShaderF16,
    timestamps: device.features.has('timestamp-query'),
    maxBinding: Math.min(allowed, options.maxBinding ?? allowed),
    maxShared: limits.maxComputeWorkgroupStorageSize,
    maxThreads: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
    software: isSoftware(info),
    description: describe(info),
  };
}

const kProbeThreads = 64;

// Kernels count on subgroups of one size that lie side by side in a workgroup. WebGPU doesn't promise it,
// so a small kernel looks; 0 where it isn't so.
async function provenSubgroup(device: GPUDevice): Promise<number> {
  if (!device.features.has('subgroups')) return 0;
  const { subgroupMinSize: least, subgroupMaxSize: most } = device.adapterInfo;
  if (least === undefined || least !== most || least < 4 || least > kProbeThreads) return 0;
  const pipeline = await device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code: `enable subgroups;
      @group(0) @binding(0) var<storage, read_write> seen: array<u32>;
      @compute @workgroup_size(${kProbeThreads})
      fn main(@builtin(local_invocation_index) i: u32, @builtin(subgroup_invocation_id) id: u32,
              @builtin(subgroup_size) size: u32) {
        seen[i] = size * 1000u + id + 1000000u * subgroupBroadcastFirst(i);
      }` }) },
  });
  const out = device.createBuffer({ size: 4 * kProbeThreads, usage: GPUUsage.storage | GPUUsage.copySrc });
  const bound = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: out } }],
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bound);
  pass.dispatchWorkgroups(1);
  pass.end();
  const seen = new Uint32Array(await readBack(device, encoder, out, 4 * kProbeThreads));
  out.destroy();
  const asExpected = seen.every((v, i) => v === least * 1000 + (i % least) + 1000000 * (i - (i % least)));
  return asExpected ? least : 0;
}

/** GPUBufferUsage and GPUMapMode, which are globals of browsers alone. */
export const GPUUsage = {
  mapRead: 0x1, copySrc: 0x4, copyDst: 0x8, storage: 0x80, queryResolve: 0x200,
} as const;
export const kMapRead = 0x1;

/** Submits what is encoded and gives the first bytes of a buffer after it. */
export async function readBack(
  device: GPUDevice, encoder: GPUCommandEncoder, from: GPUBuffer, bytes: number,
): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ size: bytes, usage: GPUUsage.mapRead | GPUUsage.copyDst });
  encoder.copyBufferToBuffer(from, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(kMapRead);
  const copy = staging.getMappedRange().slice(0);
  staging.destroy();
  return copy;
}

/**
 * A buffer, zeros. Both error scopes, because browsers differ in which of them too large a buffer is.
 * Throws LaminaError `out_of_memory`.
 */
export async function allocate(device: GPUDevice, what: string, bytes: number, usage: number): Promise<GPUBuffer> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  let buffer: GPUBuffer | undefined;
  let thrown: unknown;
  try {
    buffer = device.createBuffer({ label: what, size: Math.ceil(bytes / 16) * 16, usage });
  } catch (error) {
    thrown = error;
  }
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  const error = errors.find((e) => e !== null)?.message ?? (thrown ? String(thrown) : undefined);
  if (buffer && error === undefined) return buffer;
  buffer?.destroy();
  throw new LaminaError('out_of_memory', `the GPU has no room for ${what} (${bytes} bytes): ${error ?? 'no buffer'}`);
}
