// SPDX-License-Identifier: Apache-2.0
// A text as Markdown, stored or growing. Its nodes are the renderer's: Preact sees an empty element.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { MarkdownRenderer } from '../markdown/render.ts';
import { listen, liveTextOf } from '../state/live.ts';

type RendererClass = typeof MarkdownRenderer;

let loaded: RendererClass | null = null;
const loading = () => import('../markdown/render.ts').then((part) => (loaded = part.MarkdownRenderer));

/** The renderer's script, before the first answer needs it. */
export function prepareMarkdown(): void {
  loading().catch(() => {}); // asked again when it is needed
}

interface MarkdownViewProps {
  id: string;
  text: string;
  live: boolean;
}

export function MarkdownView({ id, text, live }: MarkdownViewProps) {
  const root = useRef<HTMLDivElement>(null);
  const renderer = useRef<MarkdownRenderer | null>(null);
  const [Renderer, setRenderer] = useState<{ is: RendererClass } | null>(loaded && { is: loaded });
  useEffect(() => {
    if (!Renderer) void loading().then((is) => setRenderer({ is }));
  }, []);
  useEffect(() => {
    if (!Renderer || !root.current) return;
    const made = (renderer.current = new Renderer.is(root.current));
    return () => made.dispose();
  }, [Renderer]);
  useEffect(() => {
    const draw = renderer.current;
    if (!draw) return;
    if (!live) return draw.update(text, true);
    draw.update(liveTextOf(id) ?? text, false);
    return listen((grown) => {
      if (liveTextOf(id) !== null) draw.update(grown, false);
    });
  }, [Renderer, live, live ? '' : text, id]);
  return (
    <>
      <div class="markdown" ref={root} />
      {!Renderer && <div class="markdown waits">{text}</div>}
    </>
  );
}
