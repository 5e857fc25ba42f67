// SPDX-License-Identifier: Apache-2.0
// core/engine/sampler.cc for top-k, top-p, min-p and temperature, in plain TypeScript: floats rounded one by
// one, sums in double.
import type { TokenChoice } from '../../../web/webgpu/choice.ts';

const f = Math.fround;
const kInts = new Int32Array(1);
const kFloats = new Float32Array(kInts.buffer);

function power(n: number): number {
  kInts[0] = (127 + n) << 23;
  return kFloats[0]!;
}

function nearbyint(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(x);
}

/** exp_f32 of core/base/numeric.cc, for x <= 0. */
export function expF32(x: number): number {
  if (x < f(-87.3)) return 0;
  const n = nearbyint(f(x * f(1.44269504)));
  let r = f(x - f(n * 0.693359375));
  r = f(r - f(n * f(-2.12194440e-4)));
  let p = f(1 / 720);
  for (const term of [1 / 120, 1 / 24, 1 / 6, 0.5, 1, 1]) p = f(f(p * r) + f(term));
  const half = Math.trunc(n / 2);
  return f(f(p * power(half)) * power(n - half));
}

/** The token that Sampler::sample(logits, unit) draws. */
export function hostSample(logits: Float32Array, choice: TokenChoice, unit: number): number {
  const order = [...logits.keys()].filter((i) => logits[i]! > -Infinity)
    .sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, choice.topK);
  if (order.length === 0) return 0;
  const best = logits[order[0]!]!;
  const weights = order.map((i) => expF32(f(logits[i]! - best)));
  const [topP, minP] = [f(choice.topP), f(choice.minP)];
  let alive = order.length;
  if (topP < 1 || minP > 0) {
    const wanted = topP < 1 ? topP * weights.reduce((a, b) => a + b, 0) : Infinity;
    let mass = 0;
    for (alive = 0; alive < order.length; mass += weights[alive++]!) {
      const w = weights[alive]!;
      if (alive > 0 && (mass >= wanted || w < minP || w === 0)) break;
    }
  }
  const inverse = f(1 / f(choice.temperature));
  const tempered = order.slice(0, alive).map((i) => expF32(f(f(logits[i]! - best) * inverse)));
  let left = f(unit) * tempered.reduce((a, b) => a + b, 0);
  for (let i = 0; i < alive; ++i) {
    left -= tempered[i]!;
    if (left < 0) return order[i]!;
  }
  return order[0]!;
}
