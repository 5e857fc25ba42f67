#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// How fast the daemon is when many ask at once: WebSocket streams against `lamina bench`, latencies,
// idle connections, prompts that begin alike. With --peer, llama.cpp's server beside it.
// Needs `ws`: run by bench/load.sh, which fetches it.
//
//   load.mjs --lamina PATH [-m DIR] [-t N] [--streams 1,8] [--tokens N] [--repeat N]
//            [--peer LLAMA-SERVER --peer-model FILE.gguf]
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { parseArgs } from 'node:util';
import WebSocket from 'ws';

const { values: flags } = parseArgs({
  options: {
    lamina: { type: 'string' }, model: { type: 'string', short: 'm' },
    threads: { type: 'string', short: 't', default: '2' }, streams: { type: 'string', default: '1,8' },
    tokens: { type: 'string', default: '256' }, repeat: { type: 'string', default: '3' },
    peer: { type: 'string' }, 'peer-model': { type: 'string' },
  },
});
const tokens = Number(flags.tokens), repeat = Number(flags.repeat);
const model = flags.model ? ['-m', flags.model] : [];
const prompt = 'Once upon a time';
const now = () => performance.now() / 1000;
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

async function start(args = []) {
  const child = spawn(flags.lamina, ['serve', '--port', '0', '-t', flags.threads, '--log-level', 'off', ...model, ...args],
    { stdio: ['ignore', 'pipe', 'ignore'] });
  process.on('exit', () => child.kill('SIGKILL'));
  const line = await new Promise((done) => child.stdout.once('data', (d) => done(d.toString())));
  const url = new URL(line.trim());
  const token = new URLSearchParams(url.hash.slice(1)).get('token');
  return { child, url: url.origin, headers: { Authorization: `Bearer ${token}` } };
}
async function stop(daemon) {
  daemon.child.kill('SIGTERM');
  await new Promise((done) => daemon.child.once('exit', done));
}
function connect(daemon) {
  return new Promise((done, fail) => {
    const socket = new WebSocket(daemon.url.replace('http', 'ws') + '/ws', ['lamina.v1'], { headers: daemon.headers });
    socket.on('error', fail);
    socket.on('open', () => socket.send('{"type":"hello"}'));
    socket.once('message', () => done(socket));
  });
}
let count = 0;
// One answer: when its first token and its end came, and how many tokens it had.
function generate(socket, message) {
  const id = `g${++count}`;
  const begun = now();
  return new Promise((done, fail) => {
    const answer = { begun, tokens: 0 };
    const hear = (data) => {
      const frame = JSON.parse(data);
      if (frame.id !== id) return;
      if (frame.type === 'token') {
        answer.first ??= now();
        answer.tokens += frame.tokens.length;
      } else if (frame.type === 'done') {
        socket.off('message', hear);
        done({ ...answer, ended: now(), cached: frame.usage.cached_tokens, prompt: frame.usage.prompt_tokens });
      } else if (frame.type === 'error') {
        fail(new Error(frame.message));
      }
    };
    socket.on('message', hear);
    socket.send(JSON.stringify({ type: 'generate', id, ...message }));
  });
}
const metrics = async (daemon) => (await fetch(`${daemon.url}/metrics`, { headers: daemon.headers })).text();
// Of a Prometheus histogram: the upper bound of the bucket that the quantile lies in.
function quantile(text, name, q, before) {
  const buckets = (t) => [...t.matchAll(new RegExp(`${name}_bucket{le="([^"]+)"} (\\d+)`, 'g'))].map((m) => [m[1], Number(m[2])]);
  const old = new Map(buckets(before));
  const counts = buckets(text).map(([le, n]) => [le === '+Inf' ? Infinity : Number(le), n - (old.get(le) ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  return counts.find(([, n]) => n >= q * total)?.[0] ?? NaN;
}

async function streams(n) {
  const daemon = await start(['--parallel', String(Math.max(8, n))]);
  const sockets = await Promise.all(Array.from({ length: n }, () => connect(daemon)));
  const ask = (max) => Promise.all(sockets.map((s, i) =>
    generate(s, { prompt, ignore_eos: true, max_tokens: max, sampling: { temperature: 0 }, seed: i })));
  await ask(16);
  const before = await metrics(daemon);
  const runs = [];
  for (let r = 0; r < repeat; ++r) {
    const alone = bench();  // beside each run: the machine's speed changes by the minute
    const answers = await ask(tokens);
    const first = Math.min(...answers.map((a) => a.first)), last = Math.max(...answers.map((a) => a.ended));
    const total = answers.reduce((sum, a) => sum + a.tokens - 1, 0) / (last - first);
    runs.push({
      total, alone, ratio: total / alone,
      each: median(answers.map((a) => (a.tokens - 1) / (a.ended - a.first))),
      wait: median(answers.map((a) => a.first - a.begun)),
    });
  }
  const text = await metrics(daemon);
  await stop(daemon);
  const middle = (what) => median(runs.map((r) => r[what]));
  const delivery = (q) => quantile(text, 'lamina_token_delivery_seconds', q, before) * 1000;
  return { n, total: middle('total'), each: middle('each'), alone: middle('alone'), ratio: middle('ratio'), wait: middle('wait') * 1000, p50: delivery(0.5), p99: delivery(0.99) };
}

function bench() {
  const rows = JSON.parse(execFileSync(flags.lamina,
    ['bench', ...model, '-p', '0', '-n', String(tokens), '-r', '1', '-t', flags.threads, '-o', 'json'],
    { stdio: ['ignore', 'pipe', 'ignore'] }));
  return rows.find((row) => row.n_gen > 0).avg_ts;
}

const resident = (daemon) => Number(fs.readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) / 1000;
async function idle(n) {
  const daemon = await start();
  await connect(daemon);
  const before = resident(daemon);
  const sockets = [];
  for (let i = 0; i < n; ++i) {
    sockets.push(await connect(daemon));
    await new Promise((done) => setTimeout(done, 30));  // within the rate that one address may have
  }
  const after = resident(daemon);
  for (const socket of sockets) socket.terminate();
  await stop(daemon);
  return after - before;
}

async function repeatedPrefix() {
  const daemon = await start();
  const socket = await connect(daemon);
  await generate(socket, { prompt, max_tokens: 4 });
  const cold = [], warm = [];
  let facts;
  for (let i = 0; i < repeat; ++i) {
    const long = `Story ${i}. ` + 'Once upon a time there was a little owl who lived in a big tree. '.repeat(62);
    for (const list of [cold, warm]) {
      facts = await generate(socket, { prompt: long, max_tokens: 1, ignore_eos: true });
      list.push((facts.ended - facts.begun) * 1000);
    }
  }
  await stop(daemon);
  return { tokens: facts.prompt, cached: facts.cached, cold: median(cold), warm: median(warm) };
}

async function cancel() {
  const daemon = await start();
  const socket = await connect(daemon);
  const waits = [];
  for (let i = 0; i < 5; ++i) {
    const over = generate(socket, { prompt, ignore_eos: true, max_tokens: 1900 });
    await new Promise((done) => socket.on('message', (d) => JSON.parse(d).type === 'token' && done()));
    const begun = now();
    socket.send(JSON.stringify({ type: 'cancel', id: `g${count}` }));
    waits.push(((await over).ended - begun) * 1000);
  }
  await stop(daemon);
  return median(waits);
}

// llama.cpp's server by its own streaming endpoint.
async function peer(n) {
  const port = 20000 + (process.pid % 10000);
  const child = spawn(flags.peer, ['-m', flags['peer-model'], '-t', flags.threads, '-np', String(n), '-cb', '-c', String(2048 * n), '--port', String(port)], { stdio: 'ignore' });
  try {
    for (let i = 0; ; ++i) {
      const ready = await fetch(`http://127.0.0.1:${port}/health`).then((r) => r.ok, () => false);
      if (ready) break;
      if (i > 600) throw new Error('the peer does not start');
      await new Promise((done) => setTimeout(done, 100));
    }
    const one = async (max) => {
      const answer = { begun: now(), tokens: 0 };
      const response = await fetch(`http://127.0.0.1:${port}/completion`, { method: 'POST', body: JSON.stringify({ prompt, n_predict: max, ignore_eos: true, stream: true, temperature: 0 }) });
      for await (const part of response.body) {
        answer.first ??= now();
        answer.tokens += Buffer.from(part).toString().split('data: ').length - 1;
      }
      return { ...answer, ended: now() };
    };
    const ask = (max) => Promise.all(Array.from({ length: n }, () => one(max)));
    await ask(16);
    const totals = [];
    for (let r = 0; r < repeat; ++r) {
      const answers = await ask(tokens);
      const first = Math.min(...answers.map((a) => a.first)), last = Math.max(...answers.map((a) => a.ended));
      totals.push(answers.reduce((sum, a) => sum + a.tokens - 1, 0) / (last - first));
    }
    return median(totals);
  } finally {
    child.kill();
  }
}

const number = (x) => x.toFixed(x < 10 ? 2 : x < 100 ? 1 : 0);
console.log('| streams | `lamina bench` | tokens/s in all | each | against bench | first token ms | computed to written, p50 ms | p99 ms |' + (flags.peer ? ' llama.cpp in all |' : ''));
console.log('|---|---|---|---|---|---|---|---|' + (flags.peer ? '---|' : ''));
for (const n of flags.streams.split(',').map(Number)) {
  const r = await streams(n);
  const row = [n, number(r.alone), number(r.total), number(r.each), `${number(r.ratio)}x`, number(r.wait), `< ${r.p50}`, `< ${r.p99}`];
  if (flags.peer) row.push(number(await peer(n)));
  console.log(`| ${row.join(' | ')} |`);
}
console.log(`\n200 idle connections: ${number(await idle(200))} MB`);
const prefix = await repeatedPrefix();
console.log(`A prompt of ${prefix.tokens} tokens to its first token: ${number(prefix.cold)} ms, again (${prefix.cached} cached): ${number(prefix.warm)} ms`);
console.log(`Cancel to done: ${number(await cancel())} ms`);
process.exit(0);
