// SPDX-License-Identifier: Apache-2.0
// The page in Firefox, as its user sees it.

import { after, before } from 'node:test';
import { Firefox, type FirefoxPage } from '../../web/support/firefox.ts';
import { BUILT } from '../support/browser.ts';
import { StaticServer } from '../support/static_server.ts';

export const FIREFOX = process.env['FIREFOX'] ?? '/usr/bin/firefox-esr';
export const STORY = 'Tell me a story about an owl and a bell.';

export interface Host {
  firefox: Firefox;
  /** The built page, without headers of its own. */
  server: StaticServer;
}

/** There before a file's first test, gone after the last. */
export function hosted(): Host {
  const host = {} as Host;
  before(async () => {
    host.server = await StaticServer.start(BUILT);
    host.firefox = await Firefox.start(FIREFOX);
  });
  after(async () => {
    await host.firefox?.close();
    await host.server?.down().catch(() => {}); // a test may have stopped it
  });
  return host;
}

// What the policy refused is an error of the page too.
function begin(storage: Readonly<Record<string, unknown>>): void {
  if (location.protocol !== 'http:') return;
  for (const [name, value] of Object.entries(storage)) {
    if (localStorage.getItem(name) === null) localStorage.setItem(name, JSON.stringify(value));
  }
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    console.error(`refused by ${violatedDirective}: ${blockedURI}`));
}

interface Target {
  css: string;
  text: string;
}

export class Visit {
  readonly page: FirefoxPage;

  private constructor(page: FirefoxPage) {
    this.page = page;
  }

  /** Of someone who was never here. `storage` is in localStorage before the page's scripts run. */
  static async begin(firefox: Firefox, url: string, storage: Readonly<Record<string, unknown>> = {}): Promise<Visit> {
    const visit = new Visit(await firefox.open(begin, storage));
    await visit.page.goto(url);
    // Where the host sends no headers the service worker adds them, and the page loads once more.
    await visit.page.until(() => globalThis.crossOriginIsolated && document.readyState === 'complete');
    return visit;
  }

  /** Until an element of `css` whose label or words have `text` is seen. */
  async sees(css: string, text = '', ms = 30_000): Promise<void> {
    await this.page.element(meet, { css, text }, ms);
  }

  /** With the pointer, once it is there and nothing lies above it. */
  async click(css: string, text = ''): Promise<void> {
    await this.page.click(await this.page.element(meet, { css, text }));
  }

  focused(): Promise<string> {
    return this.page.run(() => {
      const at = document.activeElement;
      return at?.getAttribute('aria-label') ?? at?.textContent?.trim() ?? '';
    });
  }

  async ask(text: string): Promise<void> {
    await this.click('.composer textarea');
    await this.page.type(text);
    await this.page.press('Enter');
    await this.asked(text);
  }

  /** Until the question is the conversation's last. */
  async asked(text: string): Promise<void> {
    await this.page.until((said) => document.querySelector('.message:nth-last-child(2) .bubble')?.textContent === said, text);
  }

  /** Until nothing is being answered; the last answer's text. */
  answered(ms = 60_000): Promise<string> {
    return this.page.until(() => {
      const last = document.querySelector('.message.answer.last');
      const text = last?.querySelector<HTMLElement>('.markdown[data-drawn]');
      return last?.querySelector('.actions') && text ? text.innerText.trim() : '';
    }, null, ms);
  }

  /** Until the last answer has more than `characters`. */
  async grown(characters: number, ms = 60_000): Promise<void> {
    await this.page.until((n) => (document.querySelector('.message.answer.last .markdown')?.textContent ?? '').length > n, characters, ms);
  }

  text(): Promise<string> {
    return this.page.run(() => document.querySelector<HTMLElement>('.message.answer.last .markdown')?.innerText.trim() ?? '');
  }

  /** Until the badge names the engine that computes. */
  async badge(engine: string): Promise<void> {
    await this.page.until((name) => document.querySelector('.badge-text')?.textContent === name, engine, 60_000);
  }

  async moveTo(engine: string): Promise<void> {
    await this.click('.badge');
    await this.click('.engine-kind', engine);
  }

  /** Until the page would open without network. */
  async offlineReady(): Promise<void> {
    await this.page.until(async () => {
      const found = await navigator.serviceWorker.getRegistration();
      return found?.active?.state === 'activated' && navigator.serviceWorker.controller !== null;
    });
  }
}

// Null while it cannot be met: nothing lies above it, and it has stood still for two frames.
async function meet({ css, text }: Target): Promise<Element | null> {
  for (const element of document.querySelectorAll<HTMLElement>(css)) {
    if (!(element.getAttribute('aria-label') ?? element.innerText).includes(text)) continue;
    element.scrollIntoView({ block: 'nearest', behavior: 'instant' });
    const before = element.getBoundingClientRect();
    for (let i = 0; i < 2; ++i) await new Promise((done) => requestAnimationFrame(done));
    const { x, y, width, height } = element.getBoundingClientRect();
    const above = document.elementFromPoint(x + width / 2, y + height / 2);
    if (x === before.x && y === before.y && element.contains(above) && !element.matches(':disabled')) return element;
  }
  return null;
}
