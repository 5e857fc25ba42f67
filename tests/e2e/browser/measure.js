// SPDX-License-Identifier: Apache-2.0
// What an engine does on this page: load, first token, tokens a second, and how long the page's own
// thread is held up meanwhile. The package is served at /pkg.
import { createEngine } from '/pkg/dist/index.js';

// Of the page's thread: tasks of 50 ms and more, and how late a timer comes at most.
function watchThread() {
  const tasks = [];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) tasks.push(duration);
  });
  observer.observe({ entryTypes: ['longtask'] });
  let [last, late] = [performance.now(), 0];
  const timer = setInterval(() => {
    const now = performance.now();
    late = Math.max(late, now - last - 10);
    last = now;
  }, 10);
  return async () => {
    await new Promise((done) => setTimeout(done, 100)); // observers hear of it later
    observer.disconnect();
    clearInterval(timer);
    return { longest_task_ms: Math.max(0, ...tasks), tasks_over_50_ms: tasks.length, timer_late_ms: late };
  };
}

/**
 * {model, engine, threads, contextSize, prompt, tokens, onProgress}: one load and one greedy answer.
 * Rates in tokens and megabytes (10^6 bytes) a second.
 */
export async function measure({ prompt = 'Once upon a time', tokens = 128, ...options }) {
  const notices = [];
  const endLoad = watchThread();
  const began = performance.now();
  let planned = began;
  const engine = await createEngine({
    ...options, onNotice: ({ kind, text }) => notices.push(`${kind}: ${text}`),
    onPlan: () => {
      planned = performance.now();
    },
  });
  const loaded = performance.now();
  const load = await endLoad();
  const { plan, info } = engine;
  const bytes = plan.downloadBytes + plan.storedBytes;
  const endAnswer = watchThread();
  let usage;
  const stream = await engine.completions.create({
    prompt, temperature: 0, ignore_eos: true, max_tokens: tokens, stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  for await (const chunk of stream) {
    text += chunk.choices[0]?.text ?? '';
    usage = chunk.usage ?? usage;
  }
  const answer = await endAnswer();
  await engine.close();
  const seconds = (loaded - planned) / 1000;
  return {
    engine: info.engine, device: info.device, threads: info.threads, model: info.model,
    load: {
      megabytes: bytes / 1e6, downloaded: plan.downloadBytes / 1e6, plan_seconds: (planned - began) / 1000,
      seconds, megabytes_per_second: bytes / 1e6 / seconds, ...load,
    },
    answer: {
      prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens,
      first_token_seconds: usage.timings.first_token,
      tokens_per_second: usage.timings.predicted_per_second, ...answer, text: text.slice(0, 80),
    },
    notices,
  };
}
