// SPDX-License-Identifier: Apache-2.0
// Queues for all that is drawn: a little of it in each frame, so that no frame waits. A frame that took
// longer is followed by some without any.

/** One small part of the work; true when nothing is left to do. */
export type Job = () => boolean;

const MOST_REST = 6; // frames

export class WorkQueue {
  private readonly budgetMs: number;
  private readonly jobs: Job[] = [];
  private asked = false;
  private rest = 0; // frames

  /** `budgetMs` of work in a frame, and one part at least. */
  constructor(budgetMs: number) {
    this.budgetMs = budgetMs;
  }

  /** In the next frame, or in later ones. */
  add(job: Job): void {
    if (!this.jobs.includes(job)) this.jobs.push(job);
    this.ask();
  }

  remove(job: Job): void {
    const at = this.jobs.indexOf(job);
    if (at >= 0) this.jobs.splice(at, 1);
  }

  private ask(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.run());
  }

  private run(): void {
    this.asked = false;
    if (this.rest > 0) {
      --this.rest;
      return this.ask();
    }
    const began = performance.now();
    let took = 0;
    do {
      const job = this.jobs[0];
      if (!job) return;
      if (isDone(job)) this.remove(job);
      took = performance.now() - began;
    } while (took < this.budgetMs);
    if (this.budgetMs > 0) this.rest = Math.min(MOST_REST, Math.floor(took / this.budgetMs) - 1);
    if (this.jobs.length > 0) this.ask();
  }
}

// One that fails does not stop the others.
function isDone(job: Job): boolean {
  try {
    return job();
  } catch (error) {
    reportError(error);
    return true;
  }
}

/** Elements of answers. */
export const drawing = new WorkQueue(3);

/** Colours in code that is shown already: one part in a frame, since each lays out its lines again. */
export const colouring = new WorkQueue(0);
