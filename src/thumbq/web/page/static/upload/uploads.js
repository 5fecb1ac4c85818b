// The uploads of this visit: three at a time, whatever view is open. Views are told of changes and draw them.

import { Problem } from "../core/api.js";
import { patiently } from "../core/patience.js";
import { whenEnded } from "../core/watch.js";
import { previewOf, refusalOf } from "./files.js";
import { send } from "./send.js";

const AT_ONCE = 3;

/** All uploads, the first first. `state` is waiting, sending, paused, queued, done, failed or refused. */
export const uploads = [];
/** How the next files are to be done. */
export const options = { presets: [], queue: "" };

const listeners = new Set();
let running = 0;

/** Calls back with each upload that changes; null when several come or go. Returns what stops that. */
export function onUploads(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Adds files, and begins. */
export function add(files) {
  for (const file of files) uploads.push(made(file));
  tell(null);
  fillUp();
}

/** Begins again with what was refused or has failed. */
export function again(upload) {
  Object.assign(upload, made(upload.file), { canvas: upload.canvas });
  tell(upload);
  fillUp();
}

/** Takes an upload out of the list. One that has not been stored is not stored then. */
export function remove(upload) {
  if (!upload.job) upload.stop.abort();
  uploads.splice(uploads.indexOf(upload), 1);
  tell(null);
}

/** Takes all out of the list that have ended well. */
export function clear() {
  drop(({ state }) => state === "done");
}

/** Takes what became a job out of the list, as there is no such job any more. */
export function forget(id) {
  drop(({ job }) => job?.id === id);
}

function drop(isUnwanted) {
  uploads.splice(0, Infinity, ...uploads.filter((upload) => !isUnwanted(upload)));
  tell(null);
}

/** Returns whether something would be lost if the page were closed. */
export function underWay() {
  return uploads.some(({ state }) => state === "waiting" || state === "sending" || state === "paused");
}

// A picture from the clipboard has no name of its own.
function made(file) {
  return {
    file,
    name: file.name || "image",
    key: crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].join("-"),
    state: "waiting",
    share: 0,
    stop: new AbortController(),
    presets: [...options.presets],
    queue: options.queue,
    job: null,
    problem: null,
    canvas: null,
  };
}

function fillUp() {
  for (const upload of uploads) {
    if (running >= AT_ONCE) return;
    if (upload.state === "waiting") void run(upload);
  }
}

async function run(upload) {
  running += 1;
  const { signal } = upload.stop;
  set(upload, { state: "sending", share: 0 });
  try {
    const refusal = await refusalOf(upload.file);
    if (refusal) return set(upload, { state: "refused", problem: refusal });
    void showPreview(upload);
    const onProgress = (share) => set(upload, { state: "sending", share });
    const sending = () => send(upload.file, { ...upload, signal, onProgress });
    queued(upload, await patiently(sending, { signal, onWait: () => set(upload, { state: "paused", share: 0 }) }));
  } catch (error) {
    if (signal.aborted) return;
    const problem = error instanceof Problem ? { code: error.code, text: error.message } : { code: "unreadable" };
    set(upload, { state: "refused", problem });
  } finally {
    running -= 1;
    fillUp();
  }
}

function queued(upload, job) {
  set(upload, { state: "queued", job, share: 1 });
  whenEnded(job.id, (ended) => {
    const state = ended?.status === "done" ? "done" : "failed";
    const problem = ended ? (ended.error ? { code: ended.error.code, text: ended.error.message } : null) : { code: "gone" };
    set(upload, { state, job: ended ?? job, problem });
  });
}

async function showPreview(upload) {
  upload.canvas ??= await previewOf(upload.file);
  if (upload.canvas) tell(upload);
}

function set(upload, changes) {
  Object.assign(upload, changes);
  tell(upload);
}

function tell(upload) {
  for (const listener of listeners) listener(upload);
}
