// SPDX-License-Identifier: Apache-2.0
// The real daemon under test, and a wire to it that can be cut.
import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';

export const delay = (ms: number) => new Promise((done) => setTimeout(done, ms));

const need = (name: string): string => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run by tests/web/web_test.sh`);
  return value;
};
export const LAMINA = need('LAMINA');
export const SOURCE = need('SOURCE');
export const WORK = need('WORK');

/** Dawn on the SwiftShader that comes with Chromium; undefined without. */
export async function dawn(): Promise<GPU | undefined> {
  const icd = '/usr/lib/chromium/vk_swiftshader_icd.json';
  if (!fs.existsSync(icd)) return undefined;
  process.env.VK_DRIVER_FILES = process.env.VK_ICD_FILENAMES = icd;
  const { dawn: made } = await import('../webgpu/support.ts');
  return made();
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
