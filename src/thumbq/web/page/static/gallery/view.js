// The first view: files go in, and the newest pictures lie below.

import { button, fill, h, icon, keepFocus, trouble } from "../core/dom.js";
import { framed, placeholder, renditionAddress } from "../core/picture.js";
import { may } from "../core/service.js";
import { whenEnded } from "../core/watch.js";
import { bytes, formatName, t } from "../core/words.js";
import { uploadList } from "../upload/list.js";
import { uploadPanel } from "../upload/panel.js";
import { onUploads, uploads } from "../upload/uploads.js";
import { cardGrid } from "./grid.js";
import { source } from "./source.js";

const AHEAD = 60;

/** How far down the list was when the view was closed. */
let scrolled = 0;

/** Opens the view in an element. Returns what closes it. */
export function open(container) {
  const list = may("upload") ? uploadList() : null;
  const state = h("div");
  const waiting = new Map();
  const grid = cardGrid({
    label: t("gallery.title"),
    count: () => source.records.length,
    make: (place) => (watch(source.records[place]), card(source.records[place])),
    keyOf: (place) => keyOf(source.records[place]),
    near: (last) => last + AHEAD > source.records.length && !source.complete && void more(),
  });
  const refresh = may("read") && button({ text: t("gallery.refresh"), name: "again", kind: "quiet", onclick: begin });
  const heading = h("header", { class: "row" }, h("h2", { id: "gallery-title" }, t("gallery.title")), refresh);
  const gallery = h("section", { class: "gallery", "aria-labelledby": "gallery-title" }, heading, grid.element, state);
  const stop = onUploads((upload) => upload?.job && take(upload.job));
  const seen = () => document.visibilityState === "visible" && scrollY < innerHeight && begin();

  fill(container, may("upload") && uploadPanel(), list?.element, gallery);
  document.addEventListener("visibilitychange", seen);
  if (scrolled > 0 && source.records.length > 0) {
    show();
    requestAnimationFrame(() => scrollTo(0, scrolled));
  } else begin();

  function begin() {
    source.reset();
    for (const { job } of uploads) if (job) source.put(job);
    void more();
  }

  function take(job) {
    source.put(job);
    show();
  }

  /** Sees to it that a card tells when its job has ended, also one that others have uploaded. */
  function watch({ id, status }) {
    if (waiting.has(id) || (status !== "queued" && status !== "awaiting-upload")) return;
    waiting.set(id, whenEnded(id, (job) => (job ? take(job) : (source.remove(id), show()))));
  }

  async function more() {
    fill(state, source.records.length === 0 && !source.complete && may("read") && h("p", { class: "hint" }, t("loading")));
    try {
      await source.more();
    } catch (error) {
      if (error.name === "AbortError") return;
      return fill(state, trouble(h("p", {}, error.message), button({ text: t("again"), onclick: more })));
    }
    show();
  }

  function show() {
    grid.draw();
    const empty = source.complete && source.records.length === 0;
    keepFocus(() => fill(state, empty && h("div", { class: "gallery-state" }, icon("picture"), h("p", {}, t(may("read") ? "gallery.empty" : "gallery.own")))));
  }

  return () => {
    scrolled = scrollY;
    document.removeEventListener("visibilitychange", seen);
    grid.close();
    list?.close();
    stop();
    for (const stopWaiting of waiting.values()) stopWaiting();
  };
}

function keyOf({ id, status, preset }) {
  return `${id} ${status} ${preset}`;
}

function card({ id, status, original, preset, size, code }) {
  const name = original.filename ?? t("gallery.unnamed");
  const [width, height] = size ?? [];
  const picture = framed({ src: preset && renditionAddress(id, preset), width, height, blur: placeholder(original) });
  if (status !== "done") picture.append(h("span", { class: `badge ${status}` }, t(`states.${status}`)));
  const facts = [original.bytes !== null && bytes(original.bytes), formatName(original.type), original.width && `${original.width} × ${original.height}`];
  const told = code ?? facts.filter(Boolean).join(" · ");
  return h("a", { href: `#/jobs/${id}`, title: name }, picture, h("span", { class: "name" }, name), h("span", { class: "facts" }, told));
}
