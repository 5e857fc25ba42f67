// SPDX-License-Identifier: Apache-2.0

/** Finds stop strings that one engine began and the next one ends. */
export class StopSeam {
  private readonly stops: string[];
  private held: string;

  /** `held`: text of the answer that was not told yet. */
  constructor(stops: string[], held: string) {
    this.stops = stops;
    this.held = held;
  }

  /** The text that can be told now: nothing that may be the beginning of a stop string. */
  push(text: string): { text: string; stopped: boolean } {
    const whole = this.held + text;
    const at = Math.min(whole.length, ...this.stops.map((stop) => indexOrEnd(whole, stop)));
    if (at < whole.length) {
      this.held = '';
      return { text: whole.slice(0, at), stopped: true };
    }
    const keep = Math.max(0, ...this.stops.map((stop) => overlap(whole, stop)));
    this.held = whole.slice(whole.length - keep);
    return { text: whole.slice(0, whole.length - keep), stopped: false };
  }

  /** What is held at the end of the answer. */
  flush(): string {
    const text = this.held;
    this.held = '';
    return text;
  }
}

function indexOrEnd(text: string, part: string): number {
  const at = text.indexOf(part);
  return at < 0 ? text.length : at;
}

/** How many characters at the end of `text` begin `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; --n) {
    if (text.endsWith(stop.slice(0, n))) return n;
  }
  return 0;
}
