// SPDX-License-Identifier: Apache-2.0
// How far a load is, told at most ten times a second.

import type { FileEntry } from './manifest.ts';

export type LoadState = 'loading' | 'retrying' | 'offline' | 'paused' | 'done';

/** A file of this load; bytes at hand, verified or still arriving. */
export interface FileProgress {
  file: string;
  bytesDone: number;
  bytesTotal: number;
}

export interface Progress {
  state: LoadState;
  /** Bytes at hand, verified or still arriving; falls when a shard must be fetched again. */
  bytesDone: number;
  bytesTotal: number;
  /** Received from the network in this load, repeated ones included. */
  bytesFromNetwork: number;
  /** Read from the store in this load, beginnings of interrupted downloads included. */
  bytesFromStore: number;
  filesDone: number;
  filesTotal: number;
  /** The file that last made progress. */
  file: string;
  /** Every file of this load, in its order. */
  files: readonly FileProgress[];
  /** Bytes per second over the last five seconds. */
  rate: number;
  /** Seconds until the end at this rate; null while unknown. */
  etaSeconds: number | null;
}

export type OnProgress = (progress: Progress) => void;

const intervalMs = 100;
const windowMs = 5000;

export class Meter {
  private readonly tell: OnProgress | undefined;
  private readonly now: () => number;
  private readonly progress: Progress;
  private readonly files = new Map<string, FileProgress>();
  private readonly samples: { at: number; bytes: number }[] = [];
  private moved = 0;
  private toldAt = Number.NEGATIVE_INFINITY;

  constructor(
    tell: OnProgress | undefined, files: readonly FileEntry[],
    now: () => number = () => performance.now(),
  ) {
    const bytesTotal = files.reduce((bytes, file) => bytes + file.bytes, 0);
    for (const { file, bytes } of files) {
      this.files.set(file, { file, bytesDone: 0, bytesTotal: bytes });
    }
    this.tell = tell;
    this.now = now;
    this.progress = {
      state: 'loading', bytesDone: 0, bytesTotal, bytesFromNetwork: 0, bytesFromStore: 0,
      filesDone: 0, filesTotal: files.length, file: '', files: [], rate: 0, etaSeconds: null,
    };
    this.sample();
  }

  fromNetwork(file: string, bytes: number): void {
    this.progress.bytesFromNetwork += bytes;
    this.move(file, bytes);
  }

  fromStore(file: string, bytes: number): void {
    this.progress.bytesFromStore += bytes;
    this.move(file, bytes);
  }

  /** Bytes that turned out wrong. */
  lost(file: string, bytes: number): void {
    this.progress.bytesDone -= bytes;
    this.count(file, -bytes);
  }

  fileDone(file: string): void {
    this.progress.filesDone += 1;
    this.progress.file = file;
    if (this.progress.filesDone === this.progress.filesTotal) this.progress.state = 'done';
    this.report(this.progress.state === 'done');
  }

  state(state: LoadState): void {
    if (this.progress.state === state) return;
    this.progress.state = state;
    this.report(true);
  }

  private count(file: string, bytes: number): void {
    const entry = this.files.get(file);
    if (entry) entry.bytesDone += bytes;
  }

  private move(file: string, bytes: number): void {
    this.progress.bytesDone += bytes;
    this.count(file, bytes);
    this.moved += bytes;
    this.progress.file = file;
    this.progress.state = 'loading';
    this.report(false);
  }

  private sample(): void {
    const at = this.now();
    this.samples.push({ at, bytes: this.moved });
    while (this.samples.length > 2 && (this.samples[0]?.at ?? at) < at - windowMs) {
      this.samples.shift();
    }
    const first = this.samples[0] ?? { at, bytes: 0 };
    const seconds = (at - first.at) / 1000;
    const p = this.progress;
    p.rate = seconds > 0 ? (this.moved - first.bytes) / seconds : 0;
    p.etaSeconds = p.rate > 0 ? (p.bytesTotal - p.bytesDone) / p.rate : null;
  }

  private report(now: boolean): void {
    if (!this.tell || (!now && this.now() - this.toldAt < intervalMs)) return;
    this.toldAt = this.now();
    this.sample();
    this.tell({ ...this.progress, files: [...this.files.values()].map((file) => ({ ...file })) });
  }
}
