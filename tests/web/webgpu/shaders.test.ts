// SPDX-License-Identifier: Apache-2.0
// Each WGSL shader beside its GLSL sibling: the same stem, bindings in the order of push constants (D-009).
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { bindingsOf } from '../../../web/webgpu/pipelines.ts';
import { shaderSource, type ShaderConstants } from '../../../web/webgpu/shader_source.ts';
import { wgsl } from '../../../web/webgpu/wgsl.gen.ts';
import { kRoot } from './support.ts';

const shaders = path.join(kRoot, 'shaders');
const text = (name: string) => fs.readFileSync(path.join(shaders, name), 'utf8');
const stems = Object.keys(wgsl).filter((n) => !n.includes('/')).map((n) => n.replace('.wgsl', ''));

/** The names of the push constants of shaders/`stem`.comp, in order. */
function pushNames(stem: string): string[] {
  const own = text(`${stem}.comp`);
  const block = (source: string) => /uniform Push \{([^}]*)\}/.exec(source)?.[1];
  const found = block(own) ?? block(text('include/shapes.glsl'))!;
  return found.split('\n').map((line) => /^\s*\w+ (\w+);/.exec(line)?.[1]).filter((n) => n !== undefined);
}

/** Every binding that some set of flags declares. */
function allBindings(stem: string): Map<string, number> {
  const seen = new Map<string, number>();
  const flags = ['WEIGHT_I8', 'BIAS', 'FUSED', 'NORM', 'SUBGROUPS'];
  for (let set = 0; set < 1 << flags.length; ++set) {
    const constants: ShaderConstants = Object.fromEntries(flags.map((f, i) => [f, (set & (1 << i)) !== 0]));
    for (const b of bindingsOf(shaderSource(wgsl, stem, constants))) {
      assert.equal(seen.get(b.name) ?? b.binding, b.binding, `${stem}: ${b.name} has two places`);
      seen.set(b.name, b.binding);
    }
  }
  return seen;
}

test('the module of shader texts is what lies in shaders/', () => {
  for (const [name, held] of Object.entries(wgsl)) assert.equal(held, text(name), `${name}: npm run shaders`);
  const files = fs.readdirSync(shaders, { recursive: true, encoding: 'utf8' }).filter((n) => n.endsWith('.wgsl'));
  assert.deepEqual(files.sort(), Object.keys(wgsl).sort());
});

test('every op of the graph has both shaders', () => {
  for (const op of ['embed', 'rms_norm', 'qkv_rope', 'attention', 'matmul_add', 'gate_up_silu', 'logits']) {
    assert.ok(stems.includes(op), op);
  }
  for (const stem of stems) assert.ok(fs.existsSync(path.join(shaders, `${stem}.comp`)), `${stem}.comp`);
});

for (const stem of stems) {
  test(`${stem}: bindings are push constants, in their order`, () => {
    const push = pushNames(stem);
    const bindings = allBindings(stem);
    assert.ok(bindings.size > 0);
    for (const [name, place] of bindings) assert.equal(push[place], name, `binding ${place} of ${stem}.wgsl`);
    // And the head of the file says so.
    const said = /Bindings: ([\s\S]*?)\.\n/.exec(text(`${stem}.wgsl`))?.[1]?.replaceAll('\n//', '') ?? '';
    const listed = [...said.matchAll(/(\d+) (\w+)/g)].map((m) => [m[2]!, Number(m[1])] as const);
    assert.deepEqual(new Map(listed), new Map([...bindings].sort((a, b) => a[1] - b[1])));
  });
}
