// SPDX-License-Identifier: Apache-2.0
// The page's frame: skip link, sidebar, header, and the view that the address names.

import type { ComponentType } from 'preact';
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ChatView } from './chat/chat_view.tsx';
import { EngineBadge } from './engine_badge.tsx';
import { route, type Route } from './router.ts';
import { Sidebar } from './sidebar.tsx';
import { answering } from './state/answering.ts';
import { current } from './state/conversations.ts';
import { applyUpdate, updateReady } from './sw_client.ts';
import { t } from './text/t.ts';
import { Icon } from './ui/icons.tsx';
import { LazyView } from './ui/lazy_view.tsx';
import { ToastsView } from './ui/toasts_view.tsx';

const LAZY: Record<Exclude<Route['view'], 'chat'>, () => Promise<ComponentType>> = {
  models: () => import('./models/models_view.tsx').then((part) => part.ModelsView),
  performance: () => import('./performance/performance_view.tsx').then((part) => part.PerformanceView),
  settings: () => import('./settings/settings_view.tsx').then((part) => part.SettingsView),
};

function titleOf(at: Route): string {
  if (at.view !== 'chat') return t(`nav.${at.view}`);
  return (at.id && current.value?.title) || t('nav.chat');
}

export function App() {
  const sidebarOpen = useSignal(false);
  const main = useRef<HTMLElement>(null);
  const at = route.value;
  const title = titleOf(at);
  useEffect(() => {
    document.title = at.view === 'chat' && title === t('nav.chat') ? t('app.name') : `${title} · ${t('app.name')}`;
  }, [title, at.view]);
  useEffect(() => {
    sidebarOpen.value = false;
  }, [at]);
  return (
    <div class={sidebarOpen.value ? 'app sidebar-open' : 'app'}>
      <a class="skip" href="#content" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        {t('app.skip')}
      </a>
      <Sidebar onClose={() => (sidebarOpen.value = false)} />
      <div class="scrim" onClick={() => (sidebarOpen.value = false)} />
      <div class="frame">
        <header class="top">
          <button
            type="button" class="icon-button sidebar-toggle" aria-label={t('app.openSidebar')}
            aria-expanded={sidebarOpen.value} aria-controls="sidebar" onClick={() => (sidebarOpen.value = true)}
          >
            <Icon name="menu" />
          </button>
          <p class="top-title" title={title}>{title}</p>
          <EngineBadge />
        </header>
        <UpdateOffer />
        <main ref={main} id="content" tabIndex={-1}>
          {at.view === 'chat' ? <ChatView id={at.id} /> : <div class="view"><LazyView key={at.view} load={LAZY[at.view]} /></div>}
        </main>
      </div>
      <ToastsView />
    </div>
  );
}

// Never in the middle of an answer.
function UpdateOffer() {
  if (!updateReady.value || answering.value) return null;
  return (
    <div class="update-offer" role="status">
      <span>{t('app.update')}</span>
      <button type="button" class="button" onClick={() => void applyUpdate()}>{t('app.updateNow')}</button>
    </div>
  );
}
