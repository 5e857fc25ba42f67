// SPDX-License-Identifier: Apache-2.0
// @lamina/engine: language models in this browser, on WebGPU or in WebAssembly, or on a daemon.

export { Engine } from './engine.ts';
export { LaminaError } from './errors.ts';
export type { LaminaErrorCode } from './errors.ts';
export { createEngine, planModel } from './factory.ts';
export { isSoftware as isSoftwareGpu } from '../webgpu/device.ts';
export type { ChatCompletions, Completions } from './openai_calls.ts';
export type * from './openai_types.ts';
export type * from './types.ts';
