// SPDX-License-Identifier: Apache-2.0
// From numbers to a line, without a screen.

export interface PlotFrame {
  width: number;
  height: number;
  /** Room for the labels of the axis. */
  left: number;
  top: number;
  bottom: number;
}

/** The least of 1, 2, 2.5 and 5 times a power of ten that is not below `value`. */
export function niceTop(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= value) ?? 10;
  return step * power;
}

/** An SVG path of `values`, evenly spaced over `places` places and ending at the right edge. */
export function linePath(values: readonly number[], places: number, top: number, frame: PlotFrame): string {
  const points = values.map((value, i) => {
    const place = places - values.length + i;
    return `${x(place, places, frame).toFixed(1)} ${y(value, top, frame).toFixed(1)}`;
  });
  return points.length === 0 ? '' : `M${points.join('L')}`;
}

/** The same, closed along the bottom. */
export function areaPath(values: readonly number[], places: number, top: number, frame: PlotFrame): string {
  const line = linePath(values, places, top, frame);
  if (line === '') return '';
  const floor = y(0, top, frame).toFixed(1);
  const first = x(places - values.length, places, frame).toFixed(1);
  return `${line}L${x(places - 1, places, frame).toFixed(1)} ${floor}L${first} ${floor}Z`;
}

export function x(place: number, places: number, { left, width }: PlotFrame): number {
  return left + (place / Math.max(1, places - 1)) * (width - left);
}

export function y(value: number, top: number, frame: PlotFrame): number {
  const room = frame.height - frame.top - frame.bottom;
  return frame.top + room * (1 - Math.min(1, Math.max(0, value) / top));
}
