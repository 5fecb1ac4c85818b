// The jobs of the gallery, the newest first: read page by page, and kept as no more than a card shows.

import { request } from "../core/api.js";
import { patiently } from "../core/patience.js";
import { bestFor } from "../core/picture.js";
import { may } from "../core/service.js";

const PAGE = 100;
const CARD_SIDE = 200;

/** Returns what a card shows of a job. */
function recordOf(job) {
  const preset = bestFor(job.renditions, CARD_SIDE);
  const { filename = null, bytes = null, content_type: type = null, width = null, height = null, thumbhash = null } = job.original ?? {};
  const made = preset ? job.renditions[preset] : null;
  return {
    id: job.id,
    status: job.status,
    original: { filename, bytes, type, width, height, thumbhash },
    preset,
    size: made ? [made.width, made.height] : null,
    code: job.error?.code ?? null,
  };
}

/** The list of jobs. `records` are those that are known so far; `complete` is whether there are no more. */
class Source {
  records = [];
  complete = false;
  #cursor = null;
  #known = new Set();
  #reading = null;
  #stop = new AbortController();

  /** Forgets everything: it is read anew. */
  reset() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.records = [];
    this.complete = false;
    this.#cursor = null;
    this.#known = new Set();
    this.#reading = null;
  }

  /** Reads on. Resolves when another page is there, or the end. */
  more() {
    if (!may("read")) this.complete = true;
    if (this.complete) return Promise.resolve();
    if (this.#reading) return this.#reading;
    const reading = this.#read().finally(() => {
      if (this.#reading === reading) this.#reading = null;
    });
    return (this.#reading = reading);
  }

  async #read() {
    const cursor = this.#cursor ? `&cursor=${this.#cursor}` : "";
    const { signal } = this.#stop;
    const { data } = await patiently(() => request(`jobs?limit=${PAGE}${cursor}`, { signal }), { signal });
    if (signal.aborted) return;
    this.#cursor = data.next ?? null;
    this.complete = this.#cursor === null;
    for (const job of data.jobs) this.#add(recordOf(job));
  }

  /** Puts a job in, or what is new of it. Ids are in the order of the list. */
  put(job) {
    const record = recordOf(job);
    const place = this.#known.has(job.id) ? this.records.findIndex(({ id }) => id === job.id) : -1;
    if (place >= 0) this.records[place] = record;
    else this.#add(record);
  }

  remove(id) {
    this.#known.delete(id);
    this.records = this.records.filter((record) => record.id !== id);
  }

  #add(record) {
    if (this.#known.has(record.id)) return;
    this.#known.add(record.id);
    const last = this.records.at(-1);
    if (!last || last.id < record.id) this.records.push(record);
    else this.records.splice(this.records.findIndex(({ id }) => id > record.id), 0, record);
  }
}

/** The one list: it stays while other views are open, so that one comes back to the same place. */
export const source = new Source();
