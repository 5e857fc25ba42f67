// SPDX-License-Identifier: Apache-2.0
// Moves between the CPU and a GPU while eight answers run at any time. Left out where Vulkan has no
// device.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Daemon } from './daemon.mjs';

let daemon, client;
before(async () => {
  // The tests hide every GPU; here it is the point.
  daemon = await Daemon.start(['--backend', 'cpu', '--parallel', '8'], { VK_DRIVER_FILES: undefined, VK_ICD_FILENAMES: undefined });
  client = await Client.hello(daemon);
});
after(() => daemon?.child.kill('SIGKILL'));

const slots = 8;
const ask = (id, number) => client.say({
  type: 'generate', id, prompt: `${['Once upon a time', 'The owl', 'A fox and a bell'][number % 3]} ${number}`,
  max_tokens: 400, ignore_eos: true, logprobs: 5, sampling: { temperature: 0 },
});
async function answer(id) {
  const done = await client.next((f) => f.id === id && (f.type === 'done' || f.type === 'error'), 240000);
  assert.equal(done.usage?.completion_tokens, 400, JSON.stringify(done));
  client.of(id).forEach((f, i) => assert.equal(f.seq, i + 1));
  return client.of(id).flatMap((f) => f.logprobs ?? []);
}
// The engines round differently: answers may part, but only where the tokens were as good as equally
// likely; three and more at times.
function agree(moved, still, number) {
  assert.equal(moved.length, 400);
  const parted = still.findIndex((p, i) => p.token !== moved[i].token);
  if (parted < 0) return true;
  const { top } = still[parted];
  const taken = top.find((p) => p.token === moved[parted].token);
  assert.ok(top[0].logprob - taken?.logprob < 0.1,
    `request ${number}, token ${parted}: ${moved[parted].token}, not ${JSON.stringify(still[parted])}`);
  return false;
}
let moves = 0;
async function move(backend) {
  const id = `move${++moves}`;
  client.say({ type: 'switch_backend', id, backend });
  const how = await client.next((f) => f.id === id && f.type !== 'progress', 240000);
  assert.deepEqual([how.type, how.backend], ['switched', backend], JSON.stringify(how));
}
const isToken = (f, slot) => f.type === 'token' && f.id.startsWith(`s${slot}.`);

test('from the CPU to the GPU and back under eight streams', async (t) => {
  if (!client.welcome.models[0].backends.includes('vulkan')) {
    console.log('skipped: no Vulkan device');
    return t.skip('no Vulkan device');
  }
  const answers = new Map();  // by number of the request
  let moved = false;
  const streams = Array.from({ length: slots }, async (_, slot) => {
    for (let number = slot; !moved; number += slots) {
      ask(`s${slot}.${number}`, number);
      answers.set(number, await answer(`s${slot}.${number}`));
    }
  });
  const stream = Promise.all(streams);
  const everyStreamGoesOn = async () => {
    const from = client.frames.length;
    for (let slot = 0; slot < slots; ++slot) {
      await client.next((f) => isToken(f, slot) && client.frames.indexOf(f, from) >= 0, 240000);
    }
  };
  await everyStreamGoesOn();
  await move('vulkan');
  await everyStreamGoesOn();
  await move('cpu');
  await everyStreamGoesOn();
  moved = true;
  await stream;
  // Undisturbed, on the CPU alone.
  const numbers = [...answers.keys()].slice(-3 * slots);
  for (const number of numbers) ask(`still.${number}`, number);
  let same = 0;
  for (const number of numbers) same += agree(answers.get(number), await answer(`still.${number}`), number);
  assert.ok(same >= numbers.length / 2, `${same} of ${numbers.length} the same`);
});
