// SPDX-License-Identifier: Apache-2.0
// The archive of `npm pack`, used by an empty Vite project: types, bundle, an answer.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { launch, StaticServer } from './browser.ts';
import { SOURCE, WORK } from './support.ts';

const MAIN = `
import { createEngine, LaminaError, type ChatCompletionChunk } from '@lamina/engine';

async function answer(): Promise<string> {
  await using engine = await createEngine({ model: '/models/storyteller/', engine: 'wasm' });
  const stream = await engine.chat.completions.create({
    messages: [{ role: 'user', content: 'Tell me a story about an owl.' }],
    stream: true, temperature: 0, max_tokens: 20,
  });
  let text = '';
  for await (const chunk of stream) {
    const one: ChatCompletionChunk = chunk;
    text += one.choices[0]?.delta.content ?? '';
  }
  return text;
}
answer().then(
  (text) => { document.title = 'ok ' + text; },
  (error) => { document.title = 'failed ' + (error instanceof LaminaError ? error.code : '') + error; },
);
`;
const TSCONFIG = {
  compilerOptions: {
    target: 'es2023', module: 'esnext', moduleResolution: 'bundler', strict: true, noEmit: true,
    lib: ['es2023', 'esnext.disposable', 'dom', 'dom.asynciterable'], types: [], skipLibCheck: false,
  },
  include: ['main.ts'],
};

test('an empty Vite project takes the package', async () => {
  const { PACKAGE = '', BUILT_MODEL = '' } = process.env;
  const project = path.join(WORK, 'project');
  const home = path.join(project, 'node_modules/@lamina/engine');
  fs.mkdirSync(home, { recursive: true });
  const out = execFileSync('npm', ['pack', '--silent', '--pack-destination', WORK, PACKAGE]).toString();
  const archive = path.join(WORK, out.trim());
  execFileSync('tar', ['-xzf', archive, '-C', home, '--strip-components=1']);
  assert.ok(fs.statSync(archive).size < 3e6, String(fs.statSync(archive).size));
  fs.writeFileSync(path.join(project, 'main.ts'), MAIN);
  fs.writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(TSCONFIG));
  fs.writeFileSync(path.join(project, 'package.json'), '{"name":"empty","private":true,"type":"module"}');
  fs.writeFileSync(path.join(project, 'index.html'),
    '<!doctype html><script type="module" src="/main.ts"></script>');
  const bin = `${SOURCE}/web/node_modules/.bin`;
  const run = (tool: string, ...args: string[]) =>
    execFileSync(process.execPath, [fs.realpathSync(`${bin}/${tool}`), ...args], { cwd: project, stdio: 'pipe' });
  run('tsc', '-p', '.');
  run('vite', 'build', '--base', '/dist/', '--logLevel', 'warn');
  const server = await StaticServer.start({
    dist: path.join(project, 'dist'), models: path.dirname(BUILT_MODEL),
  });
  const browser = await launch(false);
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}/dist/index.html`);
    await page.waitForFunction(() => /^(ok|failed)/.test(document.title), undefined, { timeout: 60000 });
    assert.match(await page.title(), /^ok .{10}/);
  } finally {
    await browser.close();
    server.close();
  }
});
