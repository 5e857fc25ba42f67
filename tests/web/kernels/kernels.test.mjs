// SPDX-License-Identifier: Apache-2.0
// Every kernel held to plain arithmetic and to the native bits, by the browsers' own compilers.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { inPage, serve } from '../abi/chromium.mjs';
import { Firefox } from '../support/firefox.ts';

const { CHROMIUM, FIREFOX, KERNELS } = process.env;
let server;
before(async () => {
  server = await serve({ kernels: KERNELS, cross: new URL('../../cross', import.meta.url).pathname });
});
after(() => server?.close());

async function inFirefox(task) {
  const firefox = await Firefox.start(FIREFOX);
  try {
    const page = await firefox.open();
    await page.goto(`${server.url}/`);
    return await page.run(async (given) => (await import('/cross/wasi_browser.js')).run(given), task);
  } finally {
    await firefox.close();
  }
}

const browsers = [
  ['Chromium', CHROMIUM, (task) => inPage(server.url, '/cross/wasi_browser.js', task)],
  ['Firefox', FIREFOX, inFirefox],
];
for (const [name, there, run] of browsers) {
  for (const variant of ['simd128', 'relaxed']) {
    test(`${variant} in ${name}`, { skip: !there && `no ${name} here` }, async () => {
      const { code, output } = await run({ url: `/kernels/${variant}/test_wasm.wasm`, args: ['--gtest_brief=0'] });
      assert.equal(code, 0, output.slice(-3000));
      const passed = Number(/\[ {2}PASSED {2}\] (\d+)/.exec(output)?.[1]);
      assert.ok(passed >= 40, `${passed} passed`);
      const tables = new Set(output.match(/(?<=\/)wasm\w+/g));
      console.log(`# ${passed} passed by ${[...tables].sort().join(', ')}`);
      assert.ok(variant === 'simd128' || [...tables].some((t) => t.startsWith('wasm_relaxed')));
    });
  }
}
