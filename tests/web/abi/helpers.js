// SPDX-License-Identifier: Apache-2.0
// What the parts of the module's tests have in common.

export function check(condition, what) {
  if (!condition) throw new Error(`check failed: ${what}`);
}

export async function openModel(env, module, folder) {
  const model = module.openModel(await env.load(`${folder}/manifest.json`),
    await env.load(`${folder}/tokenizer.json`));
  for (const [i, shard] of model.shards().entries()) {
    const bytes = await env.load(`${folder}/${shard.file}`);
    model.shardInto(i).set(bytes);
    model.shardDone(i);
  }
  return model;
}

export function best(row) {
  let at = 0;
  for (let i = 1; i < row.length; ++i) if (row[i] > row[at]) at = i;
  return at;
}

export function answer(session, events = []) {
  while (!session.finished) events.push(...session.step());
  return events;
}
export const textOf = (events) => events.map((e) => e.text).join('');
