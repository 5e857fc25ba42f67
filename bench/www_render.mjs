// SPDX-License-Identifier: Apache-2.0
// node bench/www_render.mjs [TOKENS_PER_SECOND [NAME...]]: a synthetic answer of 4,000 tokens through the
// page's own renderer and styles in Chromium, as fast as tokens come. Prints how long the page's
// thread was busy with its longest task, on the CPU's clock and on the wall's (which counts what other
// programs took too), and what drawing took of one frame; fails over 16 ms on the CPU's clock, or
// where the text at once is drawn otherwise. Where the CPU's clock itself jumps by milliseconds the
// machine is too busy to tell. WHY=1 in the environment: what the longest tasks did.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';

const source = path.join(import.meta.dirname, '..');
const need = createRequire(`${source}/www/package.json`);
const { chromium } = need('playwright-core');
const { build } = await import(need.resolve('vite').replace(/index\.cjs$/, 'dist/node/index.js'));
const LIMIT_MS = 16;
const TOKENS = 4000;
const [rateText = '100', ...names] = process.argv.slice(2);
const rate = Number(rateText);

/** About 4 characters a token, with all that Markdown has. */
function answers() {
  const words = 'the owl flew over a quiet river and saw *small* lights, **bright** ones, in `every` window of the town '.split(' ');
  const sentence = (n) => Array.from({ length: 14 }, (_, i) => words[(n * 7 + i * 3) % words.length]).join(' ');
  const paragraph = (n) => Array.from({ length: 4 }, (_, i) => `${sentence(n + i)}.`).join(' ');
  const code = (n) => Array.from({ length: n }, (_, i) => `  const value${i} = await compute(${i}, "text ${i}"); // step ${i}`).join('\n');
  const table = (n) => `| a | b | c |\n|---|--:|:-:|\n${Array.from({ length: n }, (_, i) => `| ${i} | ${sentence(i)} | x |`).join('\n')}`;
  const mixed = Array.from({ length: 12 }, (_, n) => [
    `## Part ${n}`, paragraph(n), Array.from({ length: 5 }, (_, i) => `- ${sentence(n + i)}`).join('\n'),
    `\`\`\`js\nfunction f${n}() {\n${code(8)}\n}\n\`\`\``, n % 3 ? paragraph(n + 3) : table(5),
  ].join('\n\n')).join('\n\n');
  return {
    mixed,
    'one paragraph': Array.from({ length: 60 }, (_, n) => paragraph(n)).join(' '),
    'one list': Array.from({ length: 300 }, (_, n) => `${n + 1}. ${sentence(n)}`).join('\n'),
    'one block of code': `\`\`\`js\n${code(400)}\n\`\`\``,
    'one table': table(220),
  };
}

const out = fs.mkdtempSync(path.join(os.tmpdir(), 'www-render-'));
fs.writeFileSync(path.join(out, 'entry.ts'), `
import '${source}/www/app/style/index.css';
import { MarkdownRenderer } from '${source}/www/app/markdown/render.ts';
Object.assign(globalThis, { MarkdownRenderer });
`);
await build({
  configFile: false, root: out, logLevel: 'error',
  worker: { format: 'es' },
  build: { outDir: path.join(out, 'dist'), rollupOptions: { input: path.join(out, 'entry.ts'), preserveEntrySignatures: false, output: { entryFileNames: 'entry.js' } } },
});
const assets = fs.readdirSync(path.join(out, 'dist'), { recursive: true }).map(String);
const css = assets.find((file) => file.endsWith('.css'));
const page404 = { status: 404, body: '' };
const TYPES = { '.js': 'text/javascript', '.css': 'text/css' };

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-quic'] });
let failed = false;
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  page.on('pageerror', (error) => console.error(error.message));
  await page.route('**/*', (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname === '/') {
      const body = `<!doctype html><meta charset=utf-8><link rel=stylesheet href="/${css}"><div class=messages id=scroller><ol><li class="message answer last"><div class=markdown id=root></div></li></ol></div><script type=module src="/entry.js"></script>`;
      return route.fulfill({ contentType: 'text/html', body });
    }
    const file = path.join(out, 'dist', pathname);
    return route.fulfill(fs.existsSync(file) ? { contentType: TYPES[path.extname(file)], body: fs.readFileSync(file) } : page404);
  });
  for (const [name, text] of Object.entries(answers())) {
    if (names.length > 0 && !names.includes(name)) continue;
    await page.goto('http://bench.invalid/');
    await page.waitForFunction(() => globalThis.MarkdownRenderer);
    await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline', 'devtools.timeline', 'v8', 'disabled-by-default-v8.gc'] });
    const got = await page.evaluate(measure, { text: text.slice(0, TOKENS * 4), tokens: TOKENS, rate });
    const trace = (await browser.stopTracing()).toString();
    const same = await page.evaluate(sameAtOnce, text.slice(0, TOKENS * 4));
    const { longest, jump } = longestTasks(trace);
    const cpu = longest.map((task) => task.cpu);
    const bad = (cpu[0] ?? Infinity) > LIMIT_MS || !same;
    failed ||= bad;
    const ms = (value) => `${value.toFixed(1)} ms`;
    console.log(`${name.padEnd(18)} ${got.characters} characters at ${rate} tokens/s: longest tasks ${cpu.map(ms).join(', ')} of CPU time (the clock jumps by ${ms(jump)}); ` +
      `by the wall's clock: drawing ${ms(got.longestDraw)} (99th percentile ${ms(got.p99)}), layout ${ms(got.longestLayout)}, ` +
      `longest task over 50 ms ${ms(got.longTask)}, frames over 33 ms ${got.lateFrames} of ${got.frames}${same ? '' : '  DRAWN OTHERWISE than at once'}${bad ? '  FAILED' : ''}`);
    if (process.env.WHY) for (const task of longest) console.log(`  ${ms(task.cpu)}: ${whatIn(task)}`);
  }
} finally {
  await browser.close();
  fs.rmSync(out, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;

// The three longest tasks of the page's main thread, with what happened inside, in milliseconds of CPU time.
function longestTasks(trace) {
  const { traceEvents } = JSON.parse(trace);
  const main = new Set(traceEvents.filter((one) => one.name === 'thread_name' && one.args?.name === 'CrRendererMain')
    .map(({ pid, tid }) => `${pid} ${tid}`));
  const busy = new Map(); // events by process: the page's is the busiest
  for (const one of traceEvents) {
    if (one.tdur === undefined || !main.has(`${one.pid} ${one.tid}`)) continue;
    if (!busy.has(one.pid)) busy.set(one.pid, { tasks: [], inside: [], sum: 0 });
    const process = busy.get(one.pid);
    if (one.name !== 'RunTask') process.inside.push(one);
    else {
      process.tasks.push(one);
      process.sum += one.tdur;
    }
  }
  const { tasks, inside } = [...busy.values()].sort((a, b) => b.sum - a.sum)[0] ?? { tasks: [], inside: [] };
  const within = ({ ts, dur }) => inside.filter((one) => one.ts >= ts && one.ts + one.dur <= ts + dur);
  const all = tasks.sort((a, b) => b.tdur - a.tdur).slice(0, 40).map((task) => ({ cpu: task.tdur / 1000, inside: within(task) }));
  return { longest: all.slice(0, 3), jump: Math.max(0, ...all.map(unaccounted)) };
}

// What a task took beyond all that is known to have happened in it: on a machine that is shared, the
// CPU's clock jumps by what others took.
function unaccounted({ cpu, inside }) {
  const known = inside.filter(({ name }) => !name.startsWith('ThreadController') && !name.startsWith('BlinkScheduler'));
  const outer = known.filter((one) => !known.some((other) => other !== one && other.ts <= one.ts && other.ts + other.dur >= one.ts + one.dur));
  return cpu - outer.reduce((sum, { tdur }) => sum + tdur / 1000, 0);
}

// CPU time by the names of a task's events, without the events within those.
function whatIn({ inside }) {
  const own = new Map();
  for (const one of inside) {
    const within = inside.filter((other) => other !== one && other.ts >= one.ts && other.ts + other.dur <= one.ts + one.dur &&
      !inside.some((between) => between !== one && between !== other && between.ts >= one.ts && between.ts + between.dur <= one.ts + one.dur &&
        other.ts >= between.ts && other.ts + other.dur <= between.ts + between.dur));
    const rest = one.tdur - within.reduce((sum, other) => sum + other.tdur, 0);
    own.set(one.name, (own.get(one.name) ?? 0) + rest / 1000);
  }
  return [...own].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([name, value]) => `${name} ${value.toFixed(1)}`).join(', ');
}

// On the page. Drawing happens in the callbacks of requestAnimationFrame: each is timed, and then the
// layout that it caused.
async function measure({ text, tokens, rate }) {
  const root = document.getElementById('root');
  const scroller = document.getElementById('scroller');
  scroller.style.height = '700px';
  const draws = [];
  let longestLayout = 0;
  const real = globalThis.requestAnimationFrame.bind(globalThis);
  globalThis.requestAnimationFrame = (work) => real((now) => {
    const began = performance.now();
    work(now);
    const drawn = performance.now();
    scroller.scrollTop = scroller.scrollHeight; // as the list of messages does, and lays out
    draws.push(drawn - began);
    longestLayout = Math.max(longestLayout, performance.now() - drawn);
  });
  let longTask = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longTask = Math.max(longTask, duration);
  });
  observer.observe({ type: 'longtask', buffered: false });
  let last = 0;
  let frames = 0;
  let lateFrames = 0;
  let over = false;
  const watch = (now) => {
    if (last > 0) {
      ++frames;
      if (now - last > 33) ++lateFrames;
    }
    last = now;
    if (!over) real(watch);
  };
  real(watch);
  const renderer = new globalThis.MarkdownRenderer(root);
  const began = performance.now();
  await new Promise((done) => {
    const timer = setInterval(() => {
      const count = Math.min(tokens, Math.floor(((performance.now() - began) / 1000) * rate));
      const at = Math.ceil((count / tokens) * text.length);
      renderer.update(text.slice(0, at), count === tokens);
      if (count < tokens) return;
      clearInterval(timer);
      done();
    }, 1000 / rate);
  });
  await new Promise((done) => setTimeout(done, 500));
  over = true;
  observer.disconnect();
  draws.sort((a, b) => a - b);
  return {
    characters: text.length, longestDraw: draws.at(-1) ?? 0, p99: draws[Math.floor(draws.length * 0.99)] ?? 0, longestLayout,
    longTask, frames, lateFrames,
  };
}

// On the page: whether the text at once looks like what grew. Colours come when they come, so code is
// compared as text.
async function sameAtOnce(text) {
  const shown = (element) => {
    const copy = element.cloneNode(true);
    for (const code of copy.querySelectorAll('code')) code.textContent = code.textContent;
    copy.normalize();
    return copy.innerHTML;
  };
  const other = document.createElement('div');
  new globalThis.MarkdownRenderer(other).update(text, true);
  while (!('drawn' in other.dataset)) await new Promise(requestAnimationFrame);
  return shown(other) === shown(document.getElementById('root'));
}
