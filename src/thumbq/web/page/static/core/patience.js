// What is tried again until it goes through: thumbq may be away for a while, and so may the network.

import { Problem, Unreachable } from "./api.js";

const LONGEST_MS = 5000;
const away = new Set();
const listeners = new Set();

/** Calls back with whether thumbq is away, at once and when that changes. */
export function onAway(listener) {
  listeners.add(listener);
  listener(away.size > 0);
}

/** Does some work, again and again while it fails by what may pass. `onWait` is told of each wait. */
export async function patiently(work, { signal, onWait } = {}) {
  const mark = {};
  try {
    for (let tries = 0; ; tries += 1) {
      try {
        const result = await work();
        const isBack = away.has(mark);
        note(mark, false);
        // It is back for all others, too. What never was away wakes nobody: else what fails alone would go on without a pause.
        if (isBack && away.size > 0) dispatchEvent(new Event("online"));
        return result;
      } catch (error) {
        if (!(error instanceof Unreachable || (error instanceof Problem && error.passes)) || signal?.aborted) throw error;
        if (error instanceof Unreachable || error.isOfProxy) note(mark, true);
        onWait?.(error);
        await pause(Math.max(Math.min(500 * 2 ** tries, LONGEST_MS) * (0.75 + Math.random() / 2), error.retryAfter * 1000 || 0), signal);
      }
    }
  } finally {
    note(mark, false);
  }
}

/** Waits for so long, or until the network is back. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    const stop = () => (done(), reject(signal.reason));
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal?.addEventListener("abort", stop);
  });
}

function note(mark, isAway) {
  const before = away.size > 0;
  if (isAway) away.add(mark);
  else away.delete(mark);
  if (before !== away.size > 0) for (const listener of listeners) listener(away.size > 0);
}
