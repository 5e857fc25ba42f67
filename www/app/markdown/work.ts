// SPDX-License-Identifier: Apache-2.0
// One queue for all that is drawn: a few milliseconds of it in each frame, so that no frame waits.

/** One small part of the work; true when nothing is left to do. */
export type Job = () => boolean;

const BUDGET_MS = 3;

const jobs: Job[] = [];
let asked = false;

function run(): void {
  asked = false;
  const end = performance.now() + BUDGET_MS;
  while (jobs.length > 0 && performance.now() < end) {
    const job = jobs[0] as Job;
    if (job()) jobs.splice(jobs.indexOf(job), 1);
  }
  if (jobs.length > 0) ask();
}

function ask(): void {
  if (asked) return;
  asked = true;
  requestAnimationFrame(run);
}

/** In the next frame, or in later ones. `first`: before what waits already. */
export function enqueue(job: Job, options: { first?: boolean } = {}): void {
  if (jobs.includes(job)) return;
  if (options.first) jobs.unshift(job);
  else jobs.push(job);
  ask();
}

export function dequeue(job: Job): void {
  const at = jobs.indexOf(job);
  if (at >= 0) jobs.splice(at, 1);
}
