// SPDX-License-Identifier: Apache-2.0
// Colours in code, from a worker that starts with the first code. What it tells becomes text in
// spans, some lines in each of the page's frames.

import { CODE_LINES, linesElement } from './code_bar.ts';

/** Texts in their order, and each one's class; "" for none. */
export interface Coloured {
  texts: string[];
  classes: string[];
}

export interface ColourRequest {
  id: number;
  code: string;
  language: string;
}

const MOST = 100_000; // characters: more stays plain
const CLASS = /^hljs-[\w-]+( [\w-]+)*$/;

let worker: Worker | undefined;
let lastId = 0;
const waiting = new Map<number, (coloured: Coloured | null) => void>();

function start(): Worker {
  const made = new Worker(new URL('./highlight_worker.ts', import.meta.url), { type: 'module' });
  made.onmessage = ({ data }: MessageEvent<{ id: number; coloured: Coloured | null }>) => {
    waiting.get(data.id)?.(data.coloured);
    waiting.delete(data.id);
  };
  made.onerror = () => {
    for (const done of waiting.values()) done(null);
    waiting.clear();
  };
  return made;
}

/** Null: it stays plain. */
export async function colour(code: string, language: string): Promise<Coloured | null> {
  if (language === '' || code.length > MOST) return null;
  try {
    worker ??= start();
  } catch {
    return null; // a browser without module workers
  }
  const id = ++lastId;
  const told = new Promise<Coloured | null>((done) => waiting.set(id, done));
  worker.postMessage({ id, code, language } satisfies ColourRequest);
  return told;
}

/** Puts colours into `code`, some lines at each call; true when all are there. */
export function painter(code: HTMLElement, { texts, classes }: Coloured): () => boolean {
  let at = 0;
  let inside = 0; // of texts[at], drawn
  let old = code.firstChild;
  return () => {
    const lines = linesElement();
    for (let count = 0; count < CODE_LINES && at < texts.length;) {
      const rest = (texts[at] ?? '').slice(inside);
      const end = rest.indexOf('\n') + 1;
      lines.append(stretch(end > 0 ? rest.slice(0, end) : rest, classes[at] ?? ''));
      if (end > 0) ++count;
      if (end > 0 && end < rest.length) inside += end;
      else {
        ++at;
        inside = 0;
      }
    }
    const next = old?.nextSibling ?? null;
    if (old) old.replaceWith(lines);
    else code.append(lines);
    old = next;
    return at >= texts.length;
  };
}

function stretch(text: string, name: string): Node {
  if (!CLASS.test(name)) return document.createTextNode(text);
  const span = document.createElement('span');
  span.className = name;
  span.textContent = text;
  return span;
}
