#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Writes a checkpoint (Hugging Face layout, f16) of a real model's shape with random weights and a
// vocabulary that is the demo model's followed by made-up words: for measuring whatever needs a
// model folder. `lamina convert` makes one of it.
//
//   make_checkpoint.mjs tinyllama-1.1b|llama-3.2-1b FOLDER
import fs from 'node:fs';
import path from 'node:path';

const shapes = {
  'tinyllama-1.1b': {
    hidden_size: 2048, intermediate_size: 5632, num_hidden_layers: 22, num_attention_heads: 32,
    num_key_value_heads: 4, head_dim: 64, vocab_size: 32000, max_position_embeddings: 2048,
    rope_theta: 10000.0, tie_word_embeddings: false,
  },
  'llama-3.2-1b': {
    hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 16, num_attention_heads: 32,
    num_key_value_heads: 8, head_dim: 64, vocab_size: 128256, max_position_embeddings: 8192,
    rope_theta: 500000.0, tie_word_embeddings: true,
  },
};
const [name, folder] = process.argv.slice(2);
const shape = shapes[name];
if (!shape || !folder) {
  console.error(`usage: make_checkpoint.mjs ${Object.keys(shapes).join('|')} FOLDER`);
  process.exit(2);
}
const demo = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../tests/models/storyteller');
fs.mkdirSync(folder, { recursive: true });

const { hidden_size: d, intermediate_size: f, num_key_value_heads: kv, head_dim: hd } = shape;
const q = shape.num_attention_heads * hd;
const tensors = [['model.embed_tokens.weight', [shape.vocab_size, d]]];
for (let l = 0; l < shape.num_hidden_layers; ++l) {
  const at = `model.layers.${l}.`;
  tensors.push(
    [`${at}input_layernorm.weight`, [d]], [`${at}self_attn.q_proj.weight`, [q, d]],
    [`${at}self_attn.k_proj.weight`, [kv * hd, d]], [`${at}self_attn.v_proj.weight`, [kv * hd, d]],
    [`${at}self_attn.o_proj.weight`, [d, q]], [`${at}post_attention_layernorm.weight`, [d]],
    [`${at}mlp.gate_proj.weight`, [f, d]], [`${at}mlp.up_proj.weight`, [f, d]], [`${at}mlp.down_proj.weight`, [d, f]],
  );
}
tensors.push(['model.norm.weight', [d]]);
if (!shape.tie_word_embeddings) tensors.push(['lm_head.weight', [shape.vocab_size, d]]);

const header = {};
let offset = 0;
const size = (dims) => dims.reduce((a, b) => a * b, 1);
for (const [tensor, dims] of tensors) {
  header[tensor] = { dtype: 'F16', shape: dims, data_offsets: [offset, offset += 2 * size(dims)] };
}
const head = Buffer.from(JSON.stringify(header));
const file = fs.openSync(path.join(folder, 'model.safetensors'), 'w');
const length = Buffer.alloc(8);
length.writeBigUInt64LE(BigInt(head.length));
fs.writeSync(file, length);
fs.writeSync(file, head);

// Half-precision bits of a value of moderate size, rounded towards zero.
const float = new Float32Array(1), bits = new Uint32Array(float.buffer);
function half(x) {
  float[0] = x;
  const b = bits[0], exponent = ((b >>> 23) & 255) - 112;
  return ((b >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((b >>> 13) & 0x3ff));
}
// Weights are drawn from a table of 64 Ki normal numbers of variance 1 / columns.
let state = 1;
const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
const uniform = () => (next() + 1) / 4294967297;
const normals = Float32Array.from({ length: 65536 }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
for (const [, dims] of tensors) {
  const norm = dims.length === 1, scale = 1 / Math.sqrt(dims.at(-1));
  const table = Uint16Array.from(normals, (x) => half(norm ? 1 : x * scale));
  for (let left = size(dims); left > 0;) {
    const chunk = new Uint16Array(Math.min(left, 1 << 22));
    for (let i = 0; i < chunk.length; ++i) chunk[i] = table[next() >>> 16];
    fs.writeSync(file, Buffer.from(chunk.buffer));
    left -= chunk.length;
  }
}
fs.closeSync(file);

const config = JSON.parse(fs.readFileSync(path.join(demo, 'config.json')));
const { rope_theta, ...rest } = shape;
Object.assign(config, rest, { rope_parameters: { rope_theta, rope_type: 'default' } });
fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config, null, 2));
const tokenizer = JSON.parse(fs.readFileSync(path.join(demo, 'tokenizer.json')));
const vocab = tokenizer.model.vocab;
const added = new Set(tokenizer.added_tokens.map((t) => t.id));
const taken = new Set([...Object.values(vocab), ...added]);
for (let id = 0; id < shape.vocab_size; ++id) if (!taken.has(id)) vocab[`\u0120word${id}`] = id;  // U+0120: a space
fs.writeFileSync(path.join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
for (const other of ['tokenizer_config.json', 'generation_config.json']) fs.copyFileSync(path.join(demo, other), path.join(folder, other));
