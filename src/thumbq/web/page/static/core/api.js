// Requests to thumbq. Addresses are made from the page's own, so that a path in front of it does no harm.

const BASE = new URL(".", location.href);

let ask = null;
let asking = null;
let logIns = 0;

/** Returns the address of something of thumbq's, such as "jobs/7r3k…". */
export function address(path) {
  return new URL(path, BASE).href;
}

/** What thumbq has refused: `code` is for programs, the message a sentence. */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = document?.code ?? "";
    this.retryAfter = Number(retryAfter) || 0;
    this.data = document?.data;
  }

  /** Whether a proxy says so, as thumbq does not answer. */
  get isOfProxy() {
    return !this.code && this.status > 501;
  }

  /** Whether it may pass by itself. */
  get passes() {
    return [408, 429, 502, 503, 504].includes(this.status) || (this.status === 409 && this.retryAfter > 0);
  }
}

/** The request did not get through, or its answer did not. */
export class Unreachable extends Error {}

/**
 * Returns the JSON of an answer, or null when it has none; or the whole answer. Who has to log in does so, and the request
 * goes again.
 */
export async function request(path, { method = "GET", body, headers = {}, signal, whole = false } = {}) {
  for (;;) {
    const began = session();
    const answer = await fetched(path, { method, body, headers, signal, credentials: "same-origin" });
    if (answer.status === 401) {
      await sessionEnded(began);
      continue;
    }
    if (whole && answer.ok) return answer;
    const document = answer.headers.get("Content-Type")?.includes("json") ? await read(answer, signal) : null;
    if (!answer.ok) throw new Problem(answer.status, document, answer.headers.get("Retry-After"));
    return document;
  }
}

async function fetched(path, options) {
  try {
    return await fetch(address(path), options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Unreachable();
  }
}

async function read(answer, signal) {
  try {
    return await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }
}

/** Says who asks for a token: a function that resolves once there is a session again. */
export function askWith(dialog) {
  ask = dialog;
}

/** Returns which session it is that requests go with now. */
export function session() {
  return logIns;
}

/** Waits until there is another session than the one that has ended. All who wait share one dialog. */
export function sessionEnded(ended) {
  // The answer may be late: somebody has logged in since the request was sent.
  if (ended === logIns) asking ??= ask().finally(() => ((logIns += 1), (asking = null)));
  return asking;
}
