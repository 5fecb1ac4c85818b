// Sends a file. XMLHttpRequest, since it alone tells how much of it has gone.

import { Problem, Unreachable, address, session, sessionEnded } from "../core/api.js";

/** Sends one file once; resolves to its job. Raises Problem when it is refused, Unreachable when it is unknown. */
export async function send(file, { name, key, presets, queue, signal, onProgress }) {
  const form = new FormData();
  if (presets.length) form.append("presets", presets.join(","));
  if (queue) form.append("priority", queue);
  form.append("file", file, name);
  for (;;) {
    const began = session();
    const { status, document, retryAfter } = await exchange(form, key, signal, onProgress);
    if (status === 401) await (onProgress(0), sessionEnded(began));
    else if (status === 201 || status === 200) return document.data.jobs[0];
    else throw new Problem(status, document, retryAfter);
  }
}

function exchange(form, key, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    const stop = () => sending.abort();
    sending.open("POST", address("upload"));
    // With the same key thumbq takes it once, however often it is sent.
    sending.setRequestHeader("Idempotency-Key", `"${key}"`);
    sending.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    sending.onload = () => {
      const retryAfter = sending.getResponseHeader("Retry-After");
      try {
        resolve({ status: sending.status, document: JSON.parse(sending.responseText), retryAfter });
      } catch {
        reject(sending.status ? new Problem(sending.status, null, retryAfter) : new Unreachable());
      }
    };
    sending.onerror = () => reject(new Unreachable());
    sending.onabort = () => reject(signal.reason);
    sending.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    sending.send(form);
  });
}
