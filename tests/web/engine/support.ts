// SPDX-License-Identifier: Apache-2.0
// The real daemon under test, and a wire to it that can be cut; the engines of this process.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { LaminaModule, type Model } from '../../../web/abi/module.ts';
import { InModule } from '../../../web/engine/worker/in_module.ts';
import type { Runner, RunnerParts } from '../../../web/engine/worker/runner.ts';
import { WasmRunner } from '../../../web/engine/worker/wasm_runner.ts';
import { WebGpuRunner } from '../../../web/engine/worker/webgpu_runner.ts';
import type { ShardsOptions } from '../../../web/storage/index.ts';

export const delay = (ms: number) => new Promise((done) => setTimeout(done, ms));

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run by tests/web/web_test.sh`);
  return value;
};
export const LAMINA = need('LAMINA');
export const SOURCE = need('SOURCE');
export const WORK = need('WORK');

/** Why no test can have WebGPU in Node; else undefined, and `navigator.gpu` is Dawn on Chromium's SwiftShader. */
export async function withoutGpu(): Promise<string | undefined> {
  const icd = '/usr/lib/chromium/vk_swiftshader_icd.json';
  if (!fs.existsSync(icd)) return 'no software Vulkan device here (Debian: chromium)';
  process.env.VK_DRIVER_FILES = process.env.VK_ICD_FILENAMES = icd;
  const { dawn } = await import('../webgpu/support.ts');
  Object.defineProperty(globalThis.navigator, 'gpu', { value: await dawn(), configurable: true });
  return undefined;
}

/** The demo model, converted with `flags` into a folder of WORK. */
export function converted(name: string, ...flags: string[]): string {
  const folder = path.join(WORK, name);
  const source = path.join(SOURCE, 'tests/models/storyteller');
  execFileSync(LAMINA, ['convert', source, folder, ...flags, '--quiet']);
  return folder;
}

/** The model of a folder in this process: a module of its own, and shards as a store gives them. */
export class ModelHere implements Disposable {
  readonly module: LaminaModule;
  readonly model: Model;
  readonly #folder: string;

  private constructor(module: LaminaModule, folder: string) {
    this.#folder = folder;
    this.module = module;
    this.model = module.openModel(this.read('manifest.json'), this.read('tokenizer.json'));
  }

  static async open(folder: string, threads = 1): Promise<ModelHere> {
    const modules = pathToFileURL(process.env.LAMINA_MODULES ?? path.join(SOURCE, 'build/wasm'));
    return new ModelHere(await LaminaModule.load(modules, { threads }), folder);
  }

  get shards(): number[] {
    return this.model.shards().map((_, index) => index);
  }

  read(file: string): Uint8Array<ArrayBuffer> {
    return new Uint8Array(fs.readFileSync(path.join(this.#folder, file)));
  }

  /** What runners are made of. `coming`, awaited before each shard, ends the load with what it throws. */
  parts(coming: Coming = async () => {}): RunnerParts {
    const { model, shards } = this;
    const read = (index: number) => this.read(model.shards()[index]!.file);
    const stored = {
      manifest: { order: shards },
      async *shards(signal: AbortSignal, _: unknown, { indices = shards, place }: ShardsOptions) {
        for (const index of indices) {
          await coming(index, signal);
          const bytes = read(index);
          place?.(index)?.set(bytes);
          yield { index, bytes };
        }
      },
    };
    return {
      model, stored, contextSize: 1024, threads: this.module.threads, memoryBudget: undefined,
      signal: undefined, onLoaded: () => {},
    } as unknown as RunnerParts;
  }

  [Symbol.dispose](): void {
    this.module[Symbol.dispose]();
  }
}

export type Coming = (index: number, signal: AbortSignal) => Promise<unknown>;

export async function makeRunner(
  kind: 'wasm' | 'webgpu', parts: RunnerParts, inModule = new InModule(),
): Promise<Runner> {
  return kind === 'wasm' ? new WasmRunner(parts, inModule) : WebGpuRunner.create(parts);
}

// Nothing outlives its test.
const children = new Set<ChildProcess>();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export class Daemon {
  readonly child: ChildProcess;
  readonly url: string;
  readonly token: string;
  log = '';

  private constructor(child: ChildProcess, url: string, token: string) {
    this.child = child;
    this.url = url;
    this.token = token;
  }

  static async start(args: string[] = []): Promise<Daemon> {
    const child = spawn(LAMINA, ['serve', '--port', '0', '-t', '1', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.add(child);
    let log = '';
    child.stderr?.on('data', (text) => (log += text));
    const line = await new Promise<string>((resolve, reject) => {
      let out = '';
      child.stdout?.on('data', (text) => {
        out += text;
        if (out.includes('\n')) resolve(out.trim());
      });
      child.on('close', () => reject(new Error(`the daemon left: ${log}`)));
    });
    const url = new URL(line);
    const token = new URLSearchParams(url.hash.slice(1)).get('token') ?? '';
    return new Daemon(child, url.origin, token);
  }

  get address() {
    return { url: this.url, token: this.token };
  }

  stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    children.delete(this.child);
    return new Promise((done) => {
      if (this.child.exitCode !== null || this.child.signalCode !== null) return done();
      this.child.on('exit', () => done());
      this.child.kill(signal);
    });
  }
}

/** TCP between an engine and a daemon. */
export class Wire {
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();
  private target: number;
  connections = 0;
  /** Takes connections and closes them at once. */
  down = false;
  private cutEvery = Infinity;
  /** How long it is down after such a cut, ms; then it is the only one. */
  downFor = 0;
  private said = 0;

  private constructor(target: number) {
    this.target = target;
    this.server = net.createServer((socket) => this.join(socket));
  }

  static async to(daemon: Daemon): Promise<Wire> {
    const wire = new Wire(Number(new URL(daemon.url).port));
    await new Promise<void>((done) => wire.server.listen(0, '127.0.0.1', done));
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }

  /** As a network that goes away: both ends lose the connection. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** From now on each time that the daemon has said so many bytes more. */
  cutAfter(bytes: number): void {
    this.said = 0;
    this.cutEvery = bytes;
  }

  retarget(daemon: Daemon): void {
    this.target = Number(new URL(daemon.url).port);
  }

  close(): void {
    this.cut();
    this.server.close();
  }

  private join(socket: net.Socket): void {
    ++this.connections;
    socket.on('error', () => {});
    if (this.down) return void socket.destroy();
    const far = net.connect(this.target, '127.0.0.1');
    far.on('error', () => socket.destroy());
    this.sockets.add(socket).add(far);
    // The daemon takes its own Host only.
    socket.on('data', (bytes) => far.write(rewriteHost(bytes, this.target)));
    far.on('data', (bytes) => {
      socket.write(bytes);
      this.said += bytes.length;
      if (this.said < this.cutEvery) return;
      this.said = 0;
      setImmediate(() => {
        if (this.downFor > 0) {
          this.down = true;
          this.cutEvery = Infinity; // once
          setTimeout(() => (this.down = false), this.downFor);
        }
        this.cut();
      });
    });
    far.on('close', () => socket.destroy());
    socket.on('close', () => far.destroy());
  }
}

function rewriteHost(bytes: Buffer, port: number): Buffer {
  const text = bytes.toString('latin1');
  if (!/^GET .* HTTP\/1\.1\r\n/.test(text)) return bytes;
  return Buffer.from(text.replace(/\r\nhost: [^\r]*/i, `\r\nHost: 127.0.0.1:${port}`), 'latin1');
}
