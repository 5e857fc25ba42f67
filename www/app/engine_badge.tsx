// SPDX-License-Identifier: Apache-2.0
// Which engine computes, why, and another one to move to.

import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { EngineInfo, EngineKind } from '@lamina/engine';
import { hrefOf } from './router.ts';
import {
  engineState, loadEngine, switchEngine, unloadEngine, type EngineState,
} from './state/engine.ts';
import { toast } from './state/toasts.ts';
import { formatBytes, formatNumber, formatPercent, t } from './text/t.ts';
import { Icon } from './ui/icons.tsx';

const KINDS: readonly EngineKind[] = ['webgpu', 'wasm', 'daemon'];

/** "WebAssembly, 4 threads", "WebGPU on …" */
export function describeEngine({ engine, device }: EngineInfo): string {
  const name = t(`engine.${engine}`);
  if (device === '') return name;
  return device.startsWith(name) ? device : t('engine.onDevice', { engine: name, device });
}

/** The answers come from the processor although a GPU was wanted. */
export function slowReason(info: EngineInfo | undefined): string | null {
  if (info?.engine !== 'wasm') return null;
  const fell = info.fallbacks.at(-1);
  return fell ? fell.reason : null;
}

function badgeText(state: EngineState): string {
  if (state.movingTo) return t('engine.moving', { engine: t(`engine.${state.movingTo}`) });
  if (state.status === 'ready' && state.info) return t(`engine.${state.info.engine}`);
  if (state.status === 'failed') return t('engine.failed');
  if (state.status === 'none') return t('engine.none');
  const { progress } = state;
  if (!progress || progress.total <= 1) return t('engine.loading');
  return t('engine.loadingPart', { percent: formatPercent(progress.loaded / progress.total) });
}

function tone(state: EngineState): string {
  if (state.status === 'failed') return 'bad';
  if (state.status === 'loading' || state.movingTo) return 'busy';
  if (state.status === 'none') return 'idle';
  return slowReason(state.info) ? 'warn' : 'good';
}

async function moveTo(kind: EngineKind): Promise<void> {
  try {
    await switchEngine(kind);
    toast(t('engine.switched', { engine: t(`engine.${kind}`) }));
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const { info } = engineState.value;
    toast(info ? t('engine.switchFailed', { engine: t(`engine.${info.engine}`), why }) : why, { kind: 'error', seconds: 12 });
  }
}

export function EngineBadge() {
  const [open, setOpen] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const state = engineState.value;
  useLayoutEffect(() => {
    if (!open) return;
    const outside = (event: Event) => {
      if (!frame.current?.contains(event.target as Node)) setOpen(false);
    };
    // Wherever the focus is: not every browser gives it to a button that is clicked.
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('keydown', onKey, true);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('keydown', onKey, true);
    };
  }, [open]);
  return (
    <div class="engine" ref={frame}>
      <button
        ref={button} type="button" class={`badge ${tone(state)}`} aria-expanded={open} aria-controls="engine-panel"
        aria-label={t('engine.badge', { what: badgeText(state) })} onClick={() => setOpen(!open)}
      >
        <span class="badge-dot" aria-hidden="true" />
        <span class="badge-text">{badgeText(state)}</span>
        <Icon name="down" size={16} />
      </button>
      {open && <EnginePanel state={state} onDone={() => (setOpen(false), button.current?.focus())} />}
    </div>
  );
}

function EnginePanel({ state, onDone }: { state: EngineState; onDone: () => void }) {
  const { info, error } = state;
  return (
    <section class="engine-panel" id="engine-panel" aria-label={t('engine.why')}>
      {info && state.status === 'ready' && <EngineFacts info={info} />}
      {state.status === 'failed' && error && <p class="panel-error">{error.message}</p>}
      <fieldset class="engine-kinds">
        <legend>{t('engine.switch')}</legend>
        {KINDS.map((kind) => (
          <button
            key={kind} type="button" class="engine-kind" aria-pressed={info?.engine === kind}
            disabled={state.movingTo !== undefined || state.status === 'loading'}
            onClick={() => (onDone(), void moveTo(kind))}
          >
            <Icon name={kind === 'daemon' ? 'server' : kind === 'wasm' ? 'chip' : 'layers'} />
            <span><strong>{t(`engine.${kind}`)}</strong><small>{t(`engine.${kind}Hint`)}</small></span>
            {info?.engine === kind && <Icon name="check" />}
          </button>
        ))}
      </fieldset>
      <p class="hint">{t('engine.switchHint')}</p>
      <div class="panel-actions">
        {state.status === 'ready'
          ? <button type="button" class="button" onClick={() => void unloadEngine()}>{t('engine.unload')}</button>
          : <button type="button" class="button" disabled={state.status === 'loading'} onClick={() => void loadEngine().catch(() => {})}>{t('engine.load')}</button>}
        <a class="button quiet" href={hrefOf({ view: 'settings' })} onClick={onDone}>{t('engine.settings')}</a>
      </div>
    </section>
  );
}

function EngineFacts({ info }: { info: EngineInfo }) {
  const slow = slowReason(info);
  const { weights, kv, activations } = info.memory;
  return (
    <>
      {slow && (
        <p class="panel-slow"><Icon name="alert" /> <span><strong>{t('engine.slow')}.</strong> {t('engine.slowWhy', { why: slow })}</span></p>
      )}
      <dl class="facts">
        <dt>{t('engine.runsOn')}</dt><dd>{describeEngine(info)}</dd>
        <dt>{t('engine.why')}</dt><dd>{info.reason}</dd>
        <dt>{t('engine.model')}</dt><dd>{info.model}</dd>
        <dt>{t('engine.context')}</dt><dd>{t('engine.contextTokens', { count: formatNumber(info.contextSize) })}</dd>
        <dt>{t('engine.memory')}</dt><dd>{formatBytes(weights + kv + activations)}</dd>
      </dl>
      {info.hints.length > 0 && (
        <details class="panel-hints">
          <summary>{t('engine.hints')}</summary>
          <ul>{info.hints.map((hint) => <li key={hint}>{hint}</li>)}</ul>
        </details>
      )}
    </>
  );
}
