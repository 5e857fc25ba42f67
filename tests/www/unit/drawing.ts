// SPDX-License-Identifier: Apache-2.0
// Texts on the renderer's elements, at once and as they grow.

import { vi } from 'vitest';
import { MarkdownRenderer } from '../../../www/app/markdown/render.ts';

export const frame = () => new Promise((done) => requestAnimationFrame(done));

export function make(): { root: HTMLElement; renderer: MarkdownRenderer } {
  const root = document.createElement('div');
  document.body.append(root);
  return { root, renderer: new MarkdownRenderer(root) };
}

/** Until all is drawn of a text that has ended. */
export async function drawn(root: HTMLElement): Promise<HTMLElement> {
  await vi.waitUntil(() => 'drawn' in root.dataset, { timeout: 8000, interval: 1 });
  return root;
}

export async function whole(source: string): Promise<HTMLElement> {
  const { root, renderer } = make();
  renderer.update(source, true);
  return drawn(root);
}

/** With a frame after each step; `step` says its characters. */
export async function grown(source: string, step: () => number): Promise<HTMLElement> {
  const { root, renderer } = make();
  for (let at = step(); at < source.length; at += step()) {
    renderer.update(source.slice(0, at), false);
    await frame();
  }
  renderer.update(source, true);
  return drawn(root);
}

/** The same numbers for the same seed, from 0 up to 1. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
