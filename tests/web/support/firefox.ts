// SPDX-License-Identifier: Apache-2.0
// Firefox without a window, driven by WebDriver BiDi.

import { spawn, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Bidi, type Params } from './bidi.ts';

const START_MS = 120_000;

/** By name, of about:config. */
export type Prefs = Readonly<Record<string, boolean | number>>;
/** It is off where Firefox takes the driver for unready. */
export const WEBGPU: Prefs = { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true };
const PREFS: Prefs = {
  'app.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'ui.primaryPointerCapabilities': 6, // of a mouse: fine, and it hovers
  'ui.allPointerCapabilities': 6,
};
const EVENTS = ['log.entryAdded', 'network.beforeRequestSent', 'browsingContext.userPromptOpened'];

/** Resolves with BiDi's address, or throws with what Firefox said. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why: string) => reject(new Error(`Firefox ${why}: ${said.slice(-2000)}`));
    const timer = setTimeout(() => fail('did not start'), START_MS);
    child.once('error', reject);
    child.once('exit', (code) => fail(`ended with ${code}`));
    child.stderr?.on('data', (data) => {
      said += data;
      const address = /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1];
      if (!address) return;
      clearTimeout(timer);
      resolve(address);
    });
  });
}

export class Firefox {
  private readonly child: ChildProcess;
  private readonly profile: string;
  private bidi!: Bidi;

  private constructor(program: string, prefs: Prefs) {
    this.profile = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-firefox-'));
    const lines = Object.entries({ ...PREFS, ...prefs }).map(([key, value]) => `user_pref("${key}", ${value});\n`);
    fs.writeFileSync(path.join(this.profile, 'user.js'), lines.join(''));
    this.child = spawn(program, ['--headless', '--no-remote', '--profile', this.profile,
      '--remote-debugging-port', '0', 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: this.profile } });
  }

  /** With a profile of its own. `prefs` are set beside those that all tests want. */
  static async start(program: string, prefs: Prefs = {}): Promise<Firefox> {
    const firefox = new Firefox(program, prefs);
    try {
      firefox.bidi = await Bidi.connect(`${await listening(firefox.child)}/session`);
      await firefox.bidi.call('session.new', { capabilities: { alwaysMatch: { unhandledPromptBehavior: { default: 'dismiss' } } } });
      await firefox.bidi.call('session.subscribe', { events: EVENTS });
      return firefox;
    } catch (error) {
      await firefox.close();
      throw error;
    }
  }

  /** A page with nothing stored. `first` runs before all scripts of the page, with `argument`. */
  async open<T>(first: (argument: T) => void = () => {}, argument: T | null = null): Promise<FirefoxPage> {
    const { userContext } = await this.bidi.call<{ userContext: string }>('browser.createUserContext', {});
    await this.bidi.call('script.addPreloadScript', {
      functionDeclaration: `() => (${first})(${JSON.stringify(argument)})`, userContexts: [userContext],
    });
    const { context } = await this.bidi.call<{ context: string }>('browsingContext.create', { type: 'tab', userContext });
    return new FirefoxPage(this.bidi, context, () => this.bidi.call('browser.removeUserContext', { userContext }));
  }

  async close(): Promise<void> {
    if (this.child.exitCode === null && this.child.kill('SIGKILL')) await new Promise((r) => this.child.once('exit', r));
    fs.rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface RemoteValue {
  value?: string;
  /** Of an element. */
  sharedId?: string;
}

interface Evaluated {
  type: 'success' | 'exception';
  result?: RemoteValue;
  exceptionDetails?: { text: string };
}

export class FirefoxPage {
  /** What went wrong on the page. */
  readonly errors: string[] = [];
  /** Addresses asked for. */
  readonly requests: string[] = [];
  /** What alert() and its like said. */
  readonly dialogs: string[] = [];
  private readonly bidi: Bidi;
  private readonly context: string;
  readonly close: () => Promise<unknown>;

  constructor(bidi: Bidi, context: string, close: () => Promise<unknown>) {
    this.bidi = bidi;
    this.context = context;
    this.close = close;
    bidi.on('log.entryAdded', ({ level, text, source }) => {
      if (level === 'error' && (source as { context?: string }).context === context) this.errors.push(String(text));
    });
    bidi.on('network.beforeRequestSent', ({ context: of, request }) => {
      if (of === context) this.requests.push((request as { url: string }).url);
    });
    bidi.on('browsingContext.userPromptOpened', ({ context: of, message }) => {
      if (of === context) this.dialogs.push(String(message));
    });
  }

  call<T>(method: string, params: Params): Promise<T> {
    return this.bidi.call<T>(method, { context: this.context, ...params });
  }

  /** Until it has loaded. */
  async goto(url: string): Promise<void> {
    await this.call('browsingContext.navigate', { url, wait: 'complete' });
  }

  async reload(): Promise<void> {
    await this.call('browsingContext.reload', { wait: 'complete' });
  }

  /**
   * Calls the function in the page; argument and result are values of JSON. Throws in the empty document
   * that is there for a moment while a page becomes isolated and moves to another process.
   */
  async run<R, T = null>(work: (argument: T) => R, argument: T | null = null): Promise<Awaited<R>> {
    const { value } = await this.evaluate(`JSON.stringify(await (${work})(${JSON.stringify(argument)}))`);
    return (value === undefined ? undefined : JSON.parse(value)) as Awaited<R>;
  }

  /** Until `work`, run in the page again and again, gives something true; gives that. */
  until<R, T = null>(work: (argument: T) => R, argument: T | null = null, ms = 30_000): Promise<NonNullable<Awaited<R>>> {
    return this.retried(() => this.run(work, argument), work, argument, ms);
  }

  /** Each word is a key: "a", "Enter", "Control+k". */
  async press(...keys: string[]): Promise<void> {
    await this.act({ type: 'key', id: 'keys', actions: keys.flatMap(strokes) });
  }

  async type(text: string): Promise<void> {
    await this.press(...text);
  }

  /** The id of the element that `find`, run in the page again and again, gives. */
  element<T>(find: (argument: T) => Promise<Element | null>, argument: T, ms = 30_000): Promise<string> {
    const expression = `await (${find})(${JSON.stringify(argument)})`;
    return this.retried(async () => (await this.evaluate(expression)).sharedId, find, argument, ms);
  }

  /** With the pointer, on the middle of element() as it is then. */
  async click(element: string): Promise<void> {
    const origin = { type: 'element', element: { sharedId: element } };
    await this.act({ type: 'pointer', id: 'mouse', actions: [
      { type: 'pointerMove', x: 0, y: 0, origin }, { type: 'pointerDown', button: 0 }, { type: 'pointerUp', button: 0 },
    ] });
  }

  /** In CSS pixels. */
  async size(width: number, height: number): Promise<void> {
    await this.call('browsingContext.setViewport', { viewport: { width, height } });
  }

  /** The viewport as PNG. */
  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.call<{ data: string }>('browsingContext.captureScreenshot', {});
    return Buffer.from(data, 'base64');
  }

  /** Where the file is that `work` has the browser save. */
  async saved(folder: string, work: () => Promise<unknown>, ms = 30_000): Promise<string> {
    const done = 'browsingContext.downloadEnd';
    await this.bidi.call('browser.setDownloadBehavior', { downloadBehavior: { type: 'allowed', destinationFolder: folder } });
    await this.bidi.call('session.subscribe', { events: [done] });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing was saved within ${ms} ms`)), ms);
      this.bidi.on(done, ({ context, filepath }) => {
        if (context === this.context) resolve((clearTimeout(timer), String(filepath)));
      });
      work().catch(reject);
    });
  }

  private async retried<R>(
    attempt: () => Promise<R>, work: unknown, argument: unknown, ms: number,
  ): Promise<NonNullable<R>> {
    const end = Date.now() + ms;
    for (;;) {
      const got = await attempt().catch(() => null); // a page that reloads answers nothing
      if (got) return got;
      if (Date.now() > end) break;
      await new Promise((done) => setTimeout(done, 50));
    }
    const shown = await this.run(() => `${location.href}: ${document.body.innerText}`).catch(String);
    throw new Error(`not so within ${ms} ms: ${work} of ${JSON.stringify(argument)} on ${shown}`);
  }

  private async evaluate(expression: string): Promise<RemoteValue> {
    const answer = await this.bidi.call<Evaluated>('script.evaluate', {
      expression: `(async () => {
        if (location.protocol === 'about:') throw new Error('no page here yet');
        return ${expression};
      })()`,
      target: { context: this.context }, awaitPromise: true,
    });
    if (answer.type === 'exception') throw new Error(answer.exceptionDetails?.text);
    return answer.result ?? {};
  }

  private async act(source: Params): Promise<void> {
    await this.call('input.performActions', { actions: [source] });
  }
}

const KEYS: Readonly<Record<string, string>> = {
  Backspace: '\uE003', Tab: '\uE004', Enter: '\uE007', Shift: '\uE008', Control: '\uE009', Escape: '\uE00C',
};

function strokes(key: string): Params[] {
  const held = key.length > 1 ? key.split('+').map((name) => KEYS[name] ?? name) : [key];
  return [
    ...held.map((value) => ({ type: 'keyDown', value })),
    ...held.toReversed().map((value) => ({ type: 'keyUp', value })),
  ];
}
