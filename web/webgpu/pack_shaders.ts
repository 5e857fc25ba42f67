// SPDX-License-Identifier: Apache-2.0
// Writes shaders/*.wgsl and shaders/include/*.wgsl as a module, so that neither browsers nor bundlers need
// to know such files: `npm run shaders`. With --check says whether the module is up to date.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';

const root = path.join(import.meta.dirname, '../../shaders');
const target = path.join(import.meta.dirname, 'wgsl.gen.ts');

const names = [root, path.join(root, 'include')]
  .flatMap((folder) => fs.readdirSync(folder).map((name) => path.join(folder, name)))
  .filter((file) => file.endsWith('.wgsl'))
  .map((file) => path.relative(root, file).replaceAll('\\', '/'))
  .sort();

const lines = [
  '// SPDX-License-Identifier: Apache-2.0',
  '// Made from shaders/**/*.wgsl by pack_shaders.ts: change those, then `npm run shaders`.',
  'export const wgsl: Readonly<Record<string, string>> = {',
];
for (const name of names) {
  const text = fs.readFileSync(path.join(root, name), 'utf8');
  lines.push(`  ${JSON.stringify(name)}: ${JSON.stringify(text)},`);
}
const hash = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
const made = `${[...lines, '};', '/** Of all of them. */', `export const wgslHash = '${hash}';`].join('\n')}\n`;

if (process.argv.includes('--check')) {
  if (fs.readFileSync(target, 'utf8') !== made) {
    console.error('web/webgpu/wgsl.gen.ts is older than shaders/: npm run shaders');
    process.exit(1);
  }
} else {
  fs.writeFileSync(target, made);
}
