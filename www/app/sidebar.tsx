// SPDX-License-Identifier: Apache-2.0
// Conversations by age, with search, and the other pages.

import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { ConversationRow } from './conversation_row.tsx';
import { go, hrefOf, route } from './router.ts';
import { conversations, loadList } from './state/conversations.ts';
import { searchMessages, type Conversation } from './state/db.ts';
import { t, type TextName } from './text/t.ts';
import { Icon, type IconName } from './ui/icons.tsx';

const PAGES: readonly { view: 'models' | 'performance' | 'settings'; icon: IconName }[] = [
  { view: 'models', icon: 'layers' }, { view: 'performance', icon: 'chart' }, { view: 'settings', icon: 'gear' },
];
const DAY = 24 * 3600 * 1000;

interface Group {
  name: TextName;
  rows: Conversation[];
}

/** Newest first, by days of the calendar. */
export function groupByAge(all: readonly Conversation[], now: number): Group[] {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const groups: (Group & { from: number })[] = [
    { name: 'sidebar.today', from: midnight, rows: [] },
    { name: 'sidebar.yesterday', from: midnight - DAY, rows: [] },
    { name: 'sidebar.week', from: midnight - 6 * DAY, rows: [] },
    { name: 'sidebar.earlier', from: Number.NEGATIVE_INFINITY, rows: [] },
  ];
  for (const one of all) groups.find((group) => one.updated >= group.from)?.rows.push(one);
  return groups.filter((group) => group.rows.length > 0);
}

/** Rows whose title or messages have the words; null while nothing is searched. */
function useFound(words: string): readonly Conversation[] {
  const inMessages = useSignal<ReadonlySet<string>>(new Set());
  const wanted = words.trim().toLocaleLowerCase();
  useEffect(() => {
    inMessages.value = new Set();
    if (wanted === '') return;
    let here = true;
    const timer = setTimeout(() => {
      void searchMessages(wanted).then((found) => here && (inMessages.value = found));
    }, 150);
    return () => {
      here = false;
      clearTimeout(timer);
    };
  }, [wanted]);
  if (wanted === '') return conversations.value;
  return conversations.value.filter(
    ({ id, title }) => title.toLocaleLowerCase().includes(wanted) || inMessages.value.has(id));
}

export function Sidebar({ onClose }: { onClose: () => void }) {
  const words = useSignal('');
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => void loadList(), []);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'k') return;
      event.preventDefault();
      document.querySelector<HTMLElement>('.sidebar-toggle')?.click();
      search.current?.focus();
      if (document.activeElement !== search.current) setTimeout(() => search.current?.focus(), 50); // once it is shown
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  const at = route.value;
  return (
    <nav class="sidebar" id="sidebar" aria-label={t('app.sidebar')} onKeyDown={(event) => event.key === 'Escape' && onClose()}>
      <div class="sidebar-head">
        <a class="brand" href={hrefOf({ view: 'chat', id: null })}><img src="./icon.svg" alt="" width={28} height={28} />{t('app.name')}</a>
        <button type="button" class="icon-button sidebar-close" aria-label={t('app.closeSidebar')} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <button type="button" class="button new-chat" onClick={() => (go({ view: 'chat', id: null }), onClose())}>
        <Icon name="plus" /> {t('sidebar.new')}
      </button>
      <label class="search">
        <Icon name="search" size={18} />
        <input
          ref={search} type="search" value={words.value} placeholder={t('sidebar.search')} aria-label={t('sidebar.search')}
          aria-keyshortcuts="Control+K Meta+K" onInput={(event) => (words.value = event.currentTarget.value)}
        />
      </label>
      <ConversationList words={words.value} />
      <ul class="pages" aria-label={t('nav.pages')}>
        {PAGES.map(({ view, icon }) => (
          <li key={view}>
            <a href={hrefOf({ view })} aria-current={at.view === view ? 'page' : undefined}><Icon name={icon} /> {t(`nav.${view}`)}</a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function ConversationList({ words }: { words: string }) {
  const found = useFound(words);
  const groups = useMemo(() => groupByAge(found, Date.now()), [found]);
  const at = route.value;
  if (found.length === 0) {
    return <p class="list-empty" role="status">{words.trim() ? t('sidebar.nothing') : t('sidebar.empty')}</p>;
  }
  return (
    <div class="conversations">
      {groups.map(({ name, rows }) => (
        <section key={name} aria-label={t(name)}>
          <h2>{t(name)}</h2>
          <ul>
            {rows.map((row) => (
              <ConversationRow key={row.id} row={row} here={at.view === 'chat' && at.id === row.id} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}
