// SPDX-License-Identifier: Apache-2.0
// The real daemon with the built page.

import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BUILT, SOURCE } from './browser.ts';

export const LAMINA = process.env['LAMINA'] ?? path.join(SOURCE, 'build/release/bin/lamina');
export const MODEL = process.env['BUILT_MODEL'] ?? path.join(SOURCE, 'build/release/models/storyteller');

export class Daemon {
  /** With #token=… */
  readonly url: string;
  readonly token: string;
  readonly port: number;
  private readonly process: ChildProcess;
  private readonly home: string;

  private constructor(url: string, process: ChildProcess, home: string) {
    this.url = url;
    this.process = process;
    this.home = home;
    this.token = /token=([^&\s]+)/.exec(url)?.[1] ?? '';
    this.port = Number(new URL(url).port);
  }

  /** `home` and `port`: of a daemon before this one, whose token it then has too. */
  static async start(given: { home?: string; port?: number; ui?: string } = {}): Promise<Daemon> {
    const home = given.home ?? fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-www-'));
    const env = {
      ...process.env, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, XDG_STATE_HOME: home,
      VK_DRIVER_FILES: '/nonexistent', VK_ICD_FILENAMES: '/nonexistent',
    };
    const words = ['serve', '-m', MODEL, '--ui', given.ui ?? BUILT, '--port', String(given.port ?? 0), '--backend', 'cpu', '--grace', '5'];
    const started = spawn(LAMINA, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const said: string[] = [];
    const url = await new Promise<string>((resolve, reject) => {
      const hear = (chunk: Buffer): void => {
        said.push(String(chunk));
        const found = /https?:\/\/\S+#token=\S+/.exec(said.join(''));
        if (found) resolve(found[0]);
      };
      started.stdout.on('data', hear);
      started.stderr.on('data', hear);
      started.on('exit', (code) => reject(new Error(`lamina serve ended with ${code}: ${said.join('')}`)));
    });
    return new Daemon(url, started, home);
  }

  get folder(): string {
    return this.home;
  }

  /** It runs a twentieth of the time, until the returned function is called. */
  slowDown(): () => void {
    let slow = true;
    const beat = setInterval(() => {
      this.process.kill('SIGCONT');
      setTimeout(() => slow && this.process.kill('SIGSTOP'), 5);
    }, 100);
    const end = () => {
      slow = false;
      clearInterval(beat);
      this.process.kill('SIGCONT');
    };
    this.process.once('exit', end);
    return end;
  }

  /** At once, as by a crash. */
  async kill(): Promise<void> {
    const ended = new Promise((done) => this.process.once('exit', done));
    if (this.process.exitCode === null && this.process.kill('SIGKILL')) await ended;
  }

  async close(): Promise<void> {
    await this.kill();
    fs.rmSync(this.home, { recursive: true, force: true });
  }
}
