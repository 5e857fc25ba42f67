// SPDX-License-Identifier: Apache-2.0
// Tokens a second as a line that moves while an answer streams. Pauses between answers take no room;
// where the engine changed there is a mark.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Metric } from '../state/metrics.ts';
import { formatNumber, t } from '../text/t.ts';
import { areaPath, linePath, niceTop, x, y, type PlotFrame } from './plot_path.ts';

const MOST = 240; // a minute of samples
const LEAST = 40; // so that a first answer does not jump about
const HEIGHT = 220;

function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  useEffect(() => {
    if (!element.current) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.max(200, entry.contentRect.width)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return { element, width };
}

export function RatePlot({ samples }: { samples: readonly Metric[] }) {
  const { element, width } = useWidth();
  const shown = samples.slice(-MOST);
  const places = Math.max(LEAST, shown.length);
  const rates = shown.map(({ tokensPerSecond }) => tokensPerSecond);
  const most = Math.max(0, ...rates);
  const top = niceTop(most);
  const frame = { width, height: HEIGHT, left: 44, top: 12, bottom: 24 };
  const now = rates.at(-1) ?? 0;
  const seconds = Math.ceil(places / 4);
  return (
    <div class="plot" ref={element}>
      <svg
        width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} role="img"
        aria-label={t('perf.plot', { seconds, now: formatNumber(now, 1), most: formatNumber(most, 1) })}
      >
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line class="plot-grid" x1={frame.left} x2={width} y1={y(part * top, top, frame)} y2={y(part * top, top, frame)} />
            <text class="plot-label" x={frame.left - 8} y={y(part * top, top, frame) + 4} text-anchor="end">
              {formatNumber(part * top, top < 4 ? 2 : 0)}
            </text>
          </g>
        ))}
        <text class="plot-label" x={frame.left} y={HEIGHT - 4}>{t('perf.plotUnit')}</text>
        <text class="plot-label" x={width} y={HEIGHT - 4} text-anchor="end">{t('perf.plotSpan', { seconds })}</text>
        <EngineMarks shown={shown} places={places} frame={frame} />
        <path class="plot-area" d={areaPath(rates, places, top, frame)} />
        <path class="plot-line" d={linePath(rates, places, top, frame)} />
        {rates.length > 0 && <circle class="plot-now" cx={x(places - 1, places, frame) - 4} cy={y(now, top, frame)} r={4} />}
      </svg>
    </div>
  );
}

interface MarksProps {
  shown: readonly Metric[];
  places: number;
  frame: PlotFrame;
}

function EngineMarks({ shown, places, frame }: MarksProps) {
  const changes = shown.flatMap(({ engine }, i) => (i === 0 || shown[i - 1]?.engine !== engine ? [{ engine, i }] : []));
  return (
    <>
      {changes.map(({ engine, i }) => {
        const at = x(places - shown.length + i, places, frame);
        const left = at > frame.width - 90;
        return (
          <g key={i}>
            <line class="plot-mark" x1={at} x2={at} y1={frame.top} y2={frame.height - frame.bottom} />
            <text class="plot-label" x={left ? at - 6 : at + 6} y={frame.top + 12} text-anchor={left ? 'end' : 'start'}>
              {t(`engine.${engine}`)}
            </text>
          </g>
        );
      })}
    </>
  );
}
