// SPDX-License-Identifier: Apache-2.0
// Speed of the WebGPU executor through Dawn for Node, on random int8 weights of a real shape:
//   node bench/web_webgpu.mjs [--dawn dawn.node] [--shapes tinyllama-1.1b,llama-2-7b] [--ops] [--tuning JSON]...
//     [--prompt 128,512] [--tokens 128] [--context 1024] [--depth 0] [--no-subgroups] [--no-f16] [--dtype i8|f16]
//     [--sampled] [--tune] [--rounds 1]
// Node 24 or newer (the executor is TypeScript). Prints tokens a second for each tuning, decoded from position
// --depth on, and with --ops what each op of a token and of the largest prompt takes. --tune measures the sizes of products
// as an engine does at first use, and lists them; each --tuning is then measured without them and with them.
import { parseArgs } from 'node:util';
import { createRequire } from 'node:module';
import path from 'node:path';
import { WebGpuExecutor } from '../web/webgpu/executor.ts';

const { values: flags } = parseArgs({ options: {
  dawn: { type: 'string' }, shapes: { type: 'string', default: 'tinyllama-1.1b,llama-2-7b' },
  ops: { type: 'boolean' }, tuning: { type: 'string', multiple: true, default: ['{}'] },
  prompt: { type: 'string', default: '128,512' }, tokens: { type: 'string', default: '128' }, depth: { type: 'string', default: '0' },
  context: { type: 'string', default: '1024' }, 'no-subgroups': { type: 'boolean' }, 'no-f16': { type: 'boolean' },
  dtype: { type: 'string', default: 'i8' }, sampled: { type: 'boolean' }, tune: { type: 'boolean' }, rounds: { type: 'string', default: '1' },
  submit: { type: 'string', default: '32' }, dawnFeatures: { type: 'string', default: 'allow_unsafe_apis' },
} });

const shapes = {
  tiny: { hidden: 256, intermediate: 768, layers: 2, heads: 4, kvHeads: 2, headDim: 64, vocab: 2048 },
  'tinyllama-1.1b': { hidden: 2048, intermediate: 5632, layers: 22, heads: 32, kvHeads: 4, headDim: 64, vocab: 32000 },
  'llama-3.2-1b': { hidden: 2048, intermediate: 8192, layers: 16, heads: 32, kvHeads: 8, headDim: 64, vocab: 128256 },
  'llama-2-7b': { hidden: 4096, intermediate: 11008, layers: 32, heads: 32, kvHeads: 32, headDim: 128, vocab: 32000 },
};

// A graph table as core/engine/graph_json.cc would write it, one shard a tensor.
function table(shape, dtype, context) {
  const { hidden, intermediate, layers, heads, kvHeads, headDim, vocab } = shape;
  const weights = [];
  const shards = [];
  const width = { f32: 4, f16: 2, i8: 1 };
  const add = (name, rows, cols, type) => {
    const rowBytes = Math.ceil(cols * width[type] / 64) * 64;
    const values = Math.ceil(rows * rowBytes / 256) * 256;
    const scales = type === 'i8' ? 4 * rows : 0;
    shards.push({ file: name, bytes: values + scales, sha256: '' });
    return weights.push({ name, dtype: type, rows, cols, group: 0, rowBytes, scalesPerRow: type === 'i8' ? 1 : 0,
      parts: [{ shard: shards.length - 1, offset: 0, scaleOffset: values, rowBegin: 0, rows }] }) - 1;
  };
  const op = (kind, layer, from, out, weight, norm = -1, last = false) =>
    ({ kind, layer, in: from, out, weight, bias: -1, norm, selected: last, gather: last });
  const ops = [op('embed', -1, '-', 'hidden', add('token_embedding', vocab, hidden, dtype))];
  for (let l = 0; l < layers; ++l) {
    const norm = (name) => add(`layers.${l}.${name}`, 1, hidden, 'f32');
    ops.push(
      op('qkv_rope', l, 'hidden', 'query', add(`layers.${l}.qkv`, (heads + 2 * kvHeads) * headDim, hidden, dtype), norm('attention_norm')),
      op('attention', l, 'query', 'mixed', -1),
      op('matmul_add', l, 'mixed', 'hidden', add(`layers.${l}.attention_out`, hidden, heads * headDim, dtype)),
      op('gate_up_silu', l, 'hidden', 'gated', add(`layers.${l}.gate_up`, 2 * intermediate, hidden, dtype), norm('mlp_norm')),
      op('matmul_add', l, 'gated', 'hidden', add(`layers.${l}.down`, hidden, intermediate, dtype)),
    );
  }
  ops.push(op('logits', -1, 'hidden', 'logits', add('lm_head', vocab, hidden, dtype), add('final_norm', 1, hidden, 'f32'), true));
  return {
    version: 1, config: { ...shape, maxPositions: context, context, eps: 1e-5 },
    rope: { invFreq: Array.from({ length: headDim / 2 }, (_, i) => 10000 ** (-2 * i / headDim)), attentionFactor: 1 },
    buffers: { hidden, normed: hidden, query: heads * headDim, mixed: heads * headDim, gated: intermediate, logits: vocab },
    shards, weights, ops,
  };
}

const noise = new Uint32Array(1 << 20);
let seed = 1;
for (let i = 0; i < noise.length; ++i) noise[i] = seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
for (let i = 0; i < noise.length; ++i) noise[i] = Math.imul(noise[i] >>> 8, 2654435761) & 0x7f7f7f7f;

// Values of moderate size: scales make int8 of them; halves with a small exponent; norms of one.
function fill(w, bytes) {
  const view = new Uint8Array(noise.buffer);
  if (w.dtype === 'f32') return new Float32Array(bytes.buffer).fill(1);
  for (let at = 0; at < bytes.length; at += view.length) bytes.set(view.subarray(0, Math.min(view.length, bytes.length - at)), at);
  if (w.dtype === 'f16') {
    const halves = new Uint16Array(bytes.buffer);
    for (let i = 0; i < halves.length; ++i) halves[i] = (halves[i] & 0x83ff) | ((halves[i] & 0x40) << 9) | 0x2000;
    return halves;
  }
  return new Float32Array(bytes.buffer, w.parts[0].scaleOffset, w.rows).fill(0.01 / 127);
}

const require = createRequire(import.meta.url);
const dawnFile = flags.dawn ?? path.join(import.meta.dirname, '../web/node_modules/webgpu/dist/linux-x64/dawn.node');
const gpu = require(path.resolve(dawnFile)).create(flags.dawnFeatures.split(',').map((f) => `enable-dawn-features=${f}`));
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const pages = (n) => Int32Array.from({ length: n }, (_, i) => i);

function rows(begin, n, tableSize, wants) {
  const places = Int32Array.from({ length: n }, (_, i) => begin + i);
  const wantsLogits = new Uint8Array(n);
  if (wants) wantsLogits[n - 1] = 1;
  return { tokens: places.map((i) => (i * 7) % 1000), positions: places, kvIndices: places, sequence: new Int32Array(n),
    wantsLogits, blockTable: pages(tableSize), tableStride: tableSize };
}

async function measure(name) {
  const shape = shapes[name];
  const context = Number(flags.context);
  const nPages = Math.ceil(context / 64);
  const prompts = flags.prompt.split(',').map(Number).filter((n) => n > 0);
  const started = performance.now();
  const graph = table(shape, flags.dtype, context);
  const e = await WebGpuExecutor.create(gpu, graph, {
    pages: nPages, maxRows: Math.max(...prompts, 64), maxLogitRows: 8, withoutSubgroups: flags['no-subgroups'] ?? false,
    withoutShaderF16: flags['no-f16'] ?? false, maxSteps: Number(flags.submit),
  });
  for (const [i, s] of graph.shards.entries()) {
    const bytes = new Uint8Array(Math.ceil(s.bytes / 4) * 4);
    fill(graph.weights[i], bytes);
    e.uploadShard(i, bytes.subarray(0, s.bytes));
  }
  await e.ready();
  const { weightBytes } = e.memory;
  console.log(`${name} ${flags.dtype}: ${(weightBytes / 1e9).toFixed(2)} GB, ready in ${((performance.now() - started) / 1000).toFixed(1)} s; ` +
    `${e.facts.description}, subgroup ${e.facts.subgroup}, shader-f16 ${e.facts.shaderF16}, shared ${e.facts.maxShared}, binding ${e.facts.maxBinding}`);
  const products = flags.tune ? await tuned(e) : undefined;
  for (let round = 0; round < Number(flags.rounds); ++round) {
    for (const text of flags.tuning) {
      for (const with_ of products ? [undefined, products] : [undefined]) {
        e.retune({ ...JSON.parse(text), ...(with_ ? { products: with_ } : {}) });
        await e.ready();
        await speed(name, e, `${text}${with_ ? ' tuned' : ''}`, shape, nPages, prompts, weightBytes);
      }
    }
  }
  e.destroy();
}

async function tuned(e) {
  const memory = new Map();
  const store = { get: async (key) => memory.get(key), set: async (key, value) => void memory.set(key, value) };
  const { decided, usually, milliseconds, wall } = await e.tune(store);
  await e.ready();  // proves what was decided
  console.log(`tuned in ${milliseconds.toFixed(0)} ms of the device, ${wall.toFixed(0)} ms in all; remembered ${JSON.stringify([...memory.values()]) !== '[]'}`);
  for (const [key, sizes] of Object.entries(decided)) {
    console.log(`  ${key}: ${sizes === usually[key] ? 'as usual' : `${JSON.stringify(usually[key])} -> ${JSON.stringify(sizes)}`}`);
  }
  const [record] = memory.values();
  return record ?? decided;
}

async function speed(name, e, tuning, shape, nPages, prompts, weightBytes) {
  const submit = Number(flags.submit);
  const units = Float32Array.from({ length: submit }, (_, i) => ((i * 37 + 11) % 100) / 100);
  const choice = flags.sampled ? { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, units }
    : { temperature: 0, topK: 0, topP: 1, minP: 0 };
  const wanted = Number(flags.tokens);
  const depth = Number(flags.depth);
  const decodes = [];
  for (let round = 0; round < 4 && wanted > 0; ++round) {
    const t = performance.now();
    for (let at = 0; at < wanted; at += submit) await e.decode(rows(depth + at, 1, nPages, true), submit, choice);
    decodes.push(1000 * wanted / (performance.now() - t));
  }
  const singles = [];
  for (let i = 0; i < 20; ++i) {
    const t = performance.now();
    await e.step(rows(depth + i, 1, nPages, true));
    singles.push(performance.now() - t);
  }
  const prefills = [];
  for (const prompt of prompts) {
    const times = [];
    for (let round = 0; round < 6; ++round) {
      const t = performance.now();
      await e.step(rows(0, prompt, nPages, true));
      times.push(1000 * prompt / (performance.now() - t));
    }
    prefills.push(`${prompt}: ${median(times.slice(1)).toFixed(0)}`);
  }
  const bytes = weightBytes - shape.vocab * shape.hidden * (flags.dtype === 'i8' ? 1 : 2);
  const best = decodes.length ? median(decodes.slice(1)) : 0;
  console.log(`${name} ${tuning}: decode${depth ? ` from ${depth}` : ''} ${best.toFixed(0)} tokens/s (${(best * bytes / 1e12).toFixed(2)} TB/s), ` +
    `step+logits ${median(singles).toFixed(2)} ms, prefill ${prefills.join(', ')}`);
  if (!flags.ops) return;
  await perOp(e, rows(depth + 100, 1, nPages, true), 50);
  if (prompts.length) await perOp(e, rows(0, Math.max(...prompts), nPages, true), 8);
}

async function perOp(e, batch, rounds) {
  const times = await e.profile(batch, rounds);
  const total = times.reduce((n, t) => n + t.microseconds * t.count, 0);
  for (const t of times) {
    const rate = t.bytes > 0 ? `${(t.bytes / t.microseconds / 1e6).toFixed(2)} TB/s` : '';
    console.log(`  ${t.label.padEnd(14)} ${String(t.count).padStart(3)} x ${t.microseconds.toFixed(2).padStart(7)} us  ${rate}`);
  }
  console.log(`  ${batch.tokens.length} rows together ${total.toFixed(0)} us`);
}

for (const name of flags.shapes.split(',')) await measure(name);
process.exit(0);
