// SPDX-License-Identifier: Apache-2.0
// Firefox without a window, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const WebSocket = createRequire(new URL('../../../web/package.json', import.meta.url))('ws');
const START_MS = 60_000;
const PREFS = {
  'dom.webgpu.enabled': true,
  'gfx.webgpu.ignore-blocklist': true,
  'app.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'browser.shell.checkDefaultBrowser': false,
};

/** Resolves with BiDi's address, or throws with what Firefox said. */
function listening(child) {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why) => reject(new Error(`Firefox ${why}: ${said.slice(-2000)}`));
    const timer = setTimeout(() => fail('did not start'), START_MS);
    child.once('error', reject);
    child.once('exit', (code) => fail(`ended with ${code}`));
    child.stderr.on('data', (data) => {
      said += data;
      const address = /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1];
      if (!address) return;
      clearTimeout(timer);
      resolve(address);
    });
  });
}

/** A connection: call(method, params) gives a command's result. */
async function connect(address) {
  const socket = new WebSocket(`${address}/session`);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const waiting = new Map();
  socket.on('message', (data) => {
    const { id, type, result, error, message } = JSON.parse(data);
    const call = waiting.get(id);
    waiting.delete(id);
    if (type === 'error') call?.reject(new Error(`${error}: ${message}`));
    else call?.resolve(result);
  });
  let last = 0;
  return (method, params) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    socket.send(JSON.stringify({ id: last, method, params }));
  });
}

/**
 * Starts Firefox with a profile of its own: {goto(url), run(f, argument), close()}. `run` calls the
 * function in the page; argument and result are values of JSON.
 */
export async function startFirefox(program) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'lamina-firefox-'));
  const lines = Object.entries(PREFS).map(([key, value]) => `user_pref("${key}", ${value});\n`);
  fs.writeFileSync(path.join(profile, 'user.js'), lines.join(''));
  const child = spawn(program, ['--headless', '--no-remote', '--profile', profile,
    '--remote-debugging-port', '0', 'about:blank'],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile } });
  const close = async () => {
    if (child.exitCode === null && child.kill('SIGKILL')) await new Promise((r) => child.once('exit', r));
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const call = await connect(await listening(child));
    await call('session.new', { capabilities: {} });
    const { contexts: [{ context }] } = await call('browsingContext.getTree', {});
    const run = async (f, argument = null) => {
      const expression = `(${f})(${JSON.stringify(argument)}).then((v) => JSON.stringify(v))`;
      const answer = await call('script.evaluate',
        { expression, target: { context }, awaitPromise: true });
      if (answer.type === 'exception') throw new Error(answer.exceptionDetails.text);
      return JSON.parse(answer.result.value);
    };
    return { run, close, goto: (url) => call('browsingContext.navigate', { context, url, wait: 'complete' }) };
  } catch (error) {
    await close();
    throw error;
  }
}
