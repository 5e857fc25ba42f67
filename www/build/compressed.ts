// SPDX-License-Identifier: Apache-2.0
// Beside each file its .br and .gz, which the daemon serves as they are; a report of sizes; and the
// limit on the page without its engine.

import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import type { Plugin } from 'vite';
import { pageFiles } from './page_files.ts';

const LIMIT = 250_000; // bytes of brotli: scripts and styles, engine and models not counted
const COMPRESSED = /\.(js|css|html|svg|json|webmanifest|wasm)$/;

interface Sizes {
  file: string;
  bytes: number;
  gzip: number;
  brotli: number;
}

function compress(folder: string, file: string): Sizes {
  const at = path.join(folder, file);
  const bytes = fs.readFileSync(at);
  const { BROTLI_PARAM_QUALITY: quality } = zlib.constants;
  const brotli = zlib.brotliCompressSync(bytes, { params: { [quality]: file.endsWith('.wasm') ? 9 : 11 } });
  const gzip = zlib.gzipSync(bytes, { level: 9 });
  fs.writeFileSync(`${at}.br`, brotli);
  fs.writeFileSync(`${at}.gz`, gzip);
  return { file, bytes: bytes.length, gzip: gzip.length, brotli: brotli.length };
}

const row = (name: string, { bytes, gzip, brotli }: Omit<Sizes, 'file'>) =>
  `${name.padEnd(44)}${String(bytes).padStart(9)}${String(gzip).padStart(9)}${String(brotli).padStart(9)}`;

function sum(all: Sizes[]): Omit<Sizes, 'file'> {
  const total = { bytes: 0, gzip: 0, brotli: 0 };
  for (const one of all) {
    total.bytes += one.bytes;
    total.gzip += one.gzip;
    total.brotli += one.brotli;
  }
  return total;
}

export function compressed(): Plugin {
  let out = '';
  return {
    name: 'lamina-compressed',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      handler() {
        const sizes = pageFiles(out).filter((file) => COMPRESSED.test(file)).map((file) => compress(out, file));
        const page = sizes.filter(({ file }) => !file.startsWith('assets/engine/'));
        const total = sum(page);
        const lines = [`${'bytes, gzip, brotli'.padEnd(44)}`, ...sizes.map((one) => row(one.file, one))];
        console.log([...lines, row('page without engine', total)].join('\n'));
        if (total.brotli > LIMIT) this.error(`the page has ${total.brotli} bytes compressed, the limit is ${LIMIT}`);
      },
    },
  };
}
