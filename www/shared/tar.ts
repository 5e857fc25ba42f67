// SPDX-License-Identifier: Apache-2.0
// A model folder as one .tar (POSIX ustar): for browsers that can't write folders, and for carrying
// a model on a stick. Plain names and shards/NNNNN.bin alone.

const BLOCK = 512;
const MOST_FILES = 70_000;

/** The header block of a file. */
export function tarHeader(name: string, bytes: number): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number): void => void new TextEncoder().encodeInto(text, block.subarray(at));
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  put(name, 0);
  put(octal(0o644, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(bytes, 11), 124);
  put(octal(0, 11), 136);
  put(' '.repeat(8), 148); // the checksum counts itself as blanks
  put('0', 156);
  put('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)}\0 `, 148);
  return block;
}

/** What fills the last block of a file of that length. */
export function tarPadding(bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK - (bytes % BLOCK)) % BLOCK);
}

/** Two empty blocks. */
export function tarEnd(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(2 * BLOCK);
}

/** The files in a .tar, as slices of it: nothing is read but headers. Throws on what is no tar. */
export async function filesOfTar(tar: Blob): Promise<File[]> {
  const files: File[] = [];
  for (let at = 0; at + BLOCK <= tar.size;) {
    const header = new Uint8Array(await tar.slice(at, at + BLOCK).arrayBuffer());
    if (header.every((byte) => byte === 0)) break;
    const { name, bytes, isFile } = readHeader(header);
    if (at + BLOCK + bytes > tar.size) throw new Error(`${name} is cut short: copy the file again`);
    if (isFile) files.push(new File([tar.slice(at + BLOCK, at + BLOCK + bytes)], baseName(name)));
    if (files.length > MOST_FILES) throw new Error('this file holds too many files to be a model');
    at += BLOCK + Math.ceil(bytes / BLOCK) * BLOCK;
  }
  return files;
}

function readHeader(header: Uint8Array): { name: string; bytes: number; isFile: boolean } {
  const field = (at: number, length: number): string =>
    new TextDecoder('latin1').decode(header.subarray(at, at + length)).replace(/\0.*$/s, '');
  const size = field(124, 12).trim();
  const told = Number.parseInt(field(148, 8).trim(), 8);
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  if (told !== sum || !/^[0-7]{1,11}$/.test(size)) {
    throw new Error('this is not a .tar file that Lamina has written');
  }
  const kind = field(156, 1);
  return { name: field(0, 100), bytes: Number.parseInt(size, 8), isFile: kind === '' || kind === '0' };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
