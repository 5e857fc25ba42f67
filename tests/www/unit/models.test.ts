// SPDX-License-Identifier: Apache-2.0
// @vitest-environment node
// What is read from manifests and from .tar files.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { ownScript } from '../../../www/app/state/trusted_types.ts';
import { readConfig } from '../../../www/shared/model_facts.ts';
import { filesOfTar, tarEnd, tarHeader, tarPadding } from '../../../www/shared/tar.ts';

const manifest = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const tensor = (dtype: string, rows: number, cols: number) => ({ name: 't', dtype, rows, cols });

describe('facts', () => {
  test('the precision of most weights comes first, norms are none', () => {
    const tensors = [tensor('f32', 1, 64), tensor('f16', 100, 64), tensor('i8', 900, 64)];
    const facts = readConfig(manifest({ config: { max_positions: 2048, n_layers: 8 }, tensors }));
    expect(facts).toEqual({ precision: 'int8, float16', parameters: 1001 * 64, context: 2048, layers: 8 });
  });

  test('what a manifest leaves out is 0 or empty', () => {
    expect(readConfig(manifest({}))).toEqual({ precision: '', parameters: 0, context: 0, layers: 0 });
    expect(readConfig(manifest({ tensors: [tensor('x', -1, 2)] })).parameters).toBe(0);
  });
});

describe('tar', () => {
  const files: [string, Uint8Array<ArrayBuffer>][] = [
    ['m/manifest.json', new TextEncoder().encode('{"a": 1}')],
    ['m/shards/00000.bin', new Uint8Array(1300).fill(7)],
    ['m/empty.txt', new Uint8Array(0)],
  ];
  const tar = () => new Blob([
    ...files.flatMap(([name, bytes]) => [tarHeader(name, bytes.length), bytes, tarPadding(bytes.length)]), tarEnd(),
  ]);

  test('what is written comes back', async () => {
    const found = await filesOfTar(tar());
    expect(found.map((file) => file.name)).toEqual(['manifest.json', '00000.bin', 'empty.txt']);
    for (const [i, file] of found.entries()) expect(new Uint8Array(await file.arrayBuffer())).toEqual(files[i]?.[1]);
  });

  test('the system’s tar reads it, and we read the system’s', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-tar-'));
    fs.writeFileSync(path.join(folder, 'ours.tar'), new Uint8Array(await tar().arrayBuffer()));
    execFileSync('tar', ['xf', 'ours.tar'], { cwd: folder });
    expect(fs.readFileSync(path.join(folder, 'm/manifest.json'), 'utf8')).toBe('{"a": 1}');
    expect(fs.statSync(path.join(folder, 'm/shards/00000.bin')).size).toBe(1300);
    execFileSync('tar', ['cf', 'theirs.tar', '--format=ustar', 'm'], { cwd: folder });
    const theirs = await filesOfTar(new Blob([fs.readFileSync(path.join(folder, 'theirs.tar'))]));
    expect(theirs.map((file) => file.name).sort()).toEqual(['00000.bin', 'empty.txt', 'manifest.json']);
    fs.rmSync(folder, { recursive: true });
  });

  test('damage is told', async () => {
    const bytes = new Uint8Array(await tar().arrayBuffer());
    await expect(filesOfTar(new Blob([bytes.slice(0, 600)]))).resolves.toHaveLength(1);
    await expect(filesOfTar(new Blob([bytes.slice(0, 514)]))).rejects.toThrow(/cut short/);
    await expect(filesOfTar(new Blob([new Uint8Array(2048).fill(65)]))).rejects.toThrow(/not a .tar/);
    bytes[0] = 90; // another name, the old checksum
    await expect(filesOfTar(new Blob([bytes]))).rejects.toThrow(/not a .tar/);
  });
});

test('the page may start the store’s worker and nothing beside it', () => {
  const page = 'https://host/app/#/models';
  expect(ownScript('https://host/app/assets/store_worker-Ab1_-x.js', page)).not.toBeNull();
  expect(ownScript('https://host/app/assets/other-Ab1.js', page)).toBeNull();
  expect(ownScript('https://elsewhere/app/assets/store_worker-Ab1.js', page)).toBeNull();
});
