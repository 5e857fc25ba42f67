// SPDX-License-Identifier: Apache-2.0
import { engineState } from '../state/engine.ts';

/** How far the model is loaded. */
export function ModelProgress() {
  const { progress } = engineState.value;
  if (!progress) return null;
  return <progress value={progress.loaded} max={Math.max(1, progress.total)} aria-label={progress.stage} />;
}
