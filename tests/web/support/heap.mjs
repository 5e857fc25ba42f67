// SPDX-License-Identifier: Apache-2.0
// The peak of a page's or worker's memory, asked for over Chromium's protocol.

/**
 * Follows the page's workers, those that are started later too. peak(part) starts watching the page
 * ('') or the worker whose address has `part` in it, and gives a function that ends it and tells
 * {heap, buffers, both} in bytes: JavaScript's objects, ArrayBuffers and WebAssembly memories beside
 * them, and the most that both were at one time.
 */
export async function heapOf(page, everyMs = 20) {
  const cdp = await page.context().newCDPSession(page);
  const sessions = new Map(); // of workers, by their id
  cdp.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => {
    if (targetInfo.type === 'worker') sessions.set(sessionId, targetInfo.url);
  });
  cdp.on('Target.detachedFromTarget', ({ sessionId }) => sessions.delete(sessionId));
  await cdp.send('Target.setAutoAttach',
    { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  let id = 0;
  const peak = (part) => {
    const most = { heap: 0, buffers: 0, both: 0 };
    const note = (usage) => {
      if (usage?.usedSize === undefined) return;
      const buffers = usage.backingStorageSize ?? 0;
      most.heap = Math.max(most.heap, usage.usedSize);
      most.buffers = Math.max(most.buffers, buffers);
      most.both = Math.max(most.both, usage.usedSize + buffers);
    };
    const onMessage = ({ sessionId, message }) => {
      if (part !== '' && sessions.get(sessionId)?.includes(part)) note(JSON.parse(message).result);
    };
    const ask = () => {
      if (part === '') return cdp.send('Runtime.getHeapUsage').then(note);
      const mine = [...sessions].filter(([, url]) => url.includes(part));
      return Promise.all(mine.map(([sessionId]) => cdp.send('Target.sendMessageToTarget',
        { sessionId, message: JSON.stringify({ id: ++id, method: 'Runtime.getHeapUsage' }) })));
    };
    cdp.on('Target.receivedMessageFromTarget', onMessage);
    const timer = setInterval(() => ask().catch(() => {}), everyMs); // a worker may just have left
    return () => {
      clearInterval(timer);
      cdp.off('Target.receivedMessageFromTarget', onMessage);
      return most;
    };
  };
  return { peak };
}
