// SPDX-License-Identifier: Apache-2.0
// Compute pipelines, each made once, asynchronously, and what they bind, by name.
import { LaminaError } from './error.ts';
import { shaderSource, type ShaderConstants } from './shader_source.ts';
import { wgsl } from './wgsl.gen.ts';

export interface BindingPlace {
  readonly binding: number;
  readonly name: string;
  readonly writes: boolean;
}

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bindings: readonly BindingPlace[];
}

/** The storage bindings that a WGSL text declares. */
export function bindingsOf(code: string): BindingPlace[] {
  const declaration = /@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)> (\w+)/g;
  return [...code.matchAll(declaration)].map((m) => ({
    binding: Number(m[1]), name: m[3]!, writes: m[2] === 'read_write',
  }));
}

// By device, so that engines of one share what they have in common.
const kMade = new WeakMap<GPUDevice, Map<string, Promise<Pipeline>>>();

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #common: ShaderConstants;
  readonly #made: Map<string, Promise<Pipeline>>;

  /** `common`: constants of every module. */
  constructor(device: GPUDevice, common: ShaderConstants) {
    this.#device = device;
    this.#common = common;
    this.#made = kMade.get(device) ?? new Map();
    kMade.set(device, this.#made);
  }

  get(stem: string, constants: ShaderConstants): Promise<Pipeline> {
    const code = shaderSource(wgsl, stem, { ...this.#common, ...constants });
    const key = `${stem}\n${code}`;
    let made = this.#made.get(key);
    if (!made) {
      made = this.#make(stem, code);
      this.#made.set(key, made);
      made.catch(() => this.#made.delete(key));
    }
    return made;
  }

  async #make(stem: string, code: string): Promise<Pipeline> {
    const bindings = bindingsOf(code);
    const layout = this.#device.createBindGroupLayout({
      entries: bindings.map((b) => ({
        binding: b.binding, visibility: 4,  // GPUShaderStage.COMPUTE
        buffer: { type: b.writes ? 'storage' as const : 'read-only-storage' as const },
      })),
    });
    try {
      const pipeline = await this.#device.createComputePipelineAsync({
        label: stem,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module: this.#device.createShaderModule({ label: stem, code }), entryPoint: 'main' },
      });
      return { pipeline, layout, bindings };
    } catch (error) {
      throw new LaminaError('device', `the device does not take the kernel ${stem}: ${String(error)}`, { recoverable: false, cause: error });
    }
  }
}
