// News of jobs: one held request for all that are waited for.

import { Problem, request } from "./api.js";
import { patiently } from "./patience.js";

const AT_ONCE = 50;
const HELD_S = 25;
const AGAIN_MS = 5000;

const waiting = new Map();
let asking = null;

/** Calls back with a job once it has ended, or with null when there is no such job any more. Returns what stops that. */
export function whenEnded(id, callback) {
  const callbacks = waiting.get(id) ?? new Set();
  callbacks.add(callback);
  if (!waiting.has(id)) {
    waiting.set(id, callbacks);
    askAnew();
  }
  return () => {
    callbacks.delete(callback);
    if (callbacks.size === 0 && waiting.get(id) === callbacks) waiting.delete(id);
  };
}

/** Asks for all that are waited for now: a request that is held knows nothing of those that came since. */
function askAnew() {
  asking?.abort();
  asking = new AbortController();
  ask(asking.signal).catch((error) => {
    if (error instanceof Problem) setTimeout(askAnew, AGAIN_MS);
    else if (error.name !== "AbortError") throw error;
  });
}

async function ask(signal) {
  // Those that come in one moment go as one.
  await new Promise((resolve) => setTimeout(resolve, 30));
  while (!signal.aborted && waiting.size) {
    const asked = [...waiting.keys()].slice(0, AT_ONCE);
    const query = asked.map((id) => `id=${id}`).join("&");
    const headers = { Prefer: `wait=${HELD_S}` };
    const began = performance.now();
    const { data } = await patiently(() => request(`jobs?${query}`, { headers, signal }), { signal });
    const ended = data.jobs.filter((job) => job.status !== "queued" && job.status !== "awaiting-upload");
    for (const job of ended) tell(job.id, job);
    const found = new Set(data.jobs.map(({ id }) => id));
    for (const id of asked) if (!found.has(id)) tell(id, null);
    // thumbq holds nothing when too many wait already.
    const soon = ended.length === 0 && performance.now() - began < 1000;
    if (soon && waiting.size) await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function tell(id, job) {
  const callbacks = waiting.get(id) ?? [];
  waiting.delete(id);
  for (const callback of callbacks) callback(job);
}
