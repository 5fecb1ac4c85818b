// The list of uploads, a row each. Of very many only the first ones are shown that have something to say.

import { button, fill, h, icon, keepFocus, say } from "../core/dom.js";
import { bestFor, framed, placeholder, renditionAddress } from "../core/picture.js";
import { bytes, hasText, percent, sentence, t } from "../core/words.js";
import { again, clear, onUploads, remove, uploads } from "./uploads.js";

const SHOWN = 60;
const ENDED = new Set(["done", "failed", "refused"]);

/** Returns the list, and what closes it. */
export function uploadList() {
  const summary = h("h2", { id: "uploads-title" });
  const more = h("p", { class: "hint" });
  const tidy = button({ text: t("upload.clear"), kind: "quiet", onclick: clear });
  const list = h("ul", { class: "uploads" });
  const section = h("section", { class: "tray", "aria-labelledby": "uploads-title" }, h("header", {}, summary, tidy), list, more);
  const rows = new Map();
  const stop = onUploads((upload) => {
    if (upload === null || ENDED.has(upload.state)) arrange();
    else rows.get(upload)?.update();
    summarise();
  });

  function arrange() {
    const shown = [...uploads].sort((one, other) => urgency(one) - urgency(other)).slice(0, SHOWN);
    for (const upload of [...rows.keys()]) if (!shown.includes(upload)) rows.delete(upload);
    for (const upload of shown) if (!rows.has(upload)) rows.set(upload, row(upload));
    for (const upload of shown) rows.get(upload).update();
    // In the order in which they came, so that nothing jumps while one looks; but what needs somebody is on top.
    const ordered = uploads.filter((upload) => rows.has(upload)).sort((one, other) => wanting(other) - wanting(one));
    const wanted = ordered.map((upload) => rows.get(upload).element);
    if (wanted.length !== list.children.length || wanted.some((element, place) => element !== list.children[place])) keepFocus(() => fill(list, wanted), beside());
    more.textContent = uploads.length > shown.length ? t("upload.more", uploads.length - shown.length) : "";
  }

  function summarise() {
    section.hidden = uploads.length === 0;
    const count = (state) => uploads.filter((upload) => upload.state === state).length;
    const text = t("upload.summary", { all: uploads.length, done: count("done"), refused: count("refused") + count("failed") });
    keepFocus(() => (tidy.hidden = count("done") === 0), beside());
    if (summary.textContent === text) return;
    summary.textContent = text;
    if (uploads.length) say(text);
  }

  /** Returns what finds the last button of the row that is where the focus was, so that one row after the other can be removed. */
  function beside() {
    const place = Math.max(0, items().findIndex((row) => row.contains(document.activeElement)));
    return () => items().slice(0, place + 1).at(-1)?.querySelector(".tools button:last-child");
  }

  const items = () => Array.from(list.children);

  arrange();
  summarise();
  return { element: section, close: stop };
}

function wanting({ state }) {
  return state === "refused" || state === "failed" ? 1 : 0;
}

function urgency({ state }) {
  return { sending: 0, paused: 0, refused: 1, failed: 1, queued: 2, waiting: 3, done: 4 }[state];
}

function row(upload) {
  const picture = h("div", { class: "mini" });
  const words = h("p", { class: "state" });
  const bar = h("progress", { max: "1", "aria-label": t("upload.progress", upload.name) });
  const tools = h("div", { class: "tools" });
  const name = h("p", { class: "name" });
  const element = h("li", { class: "upload" }, picture, h("div", { class: "body" }, name, words, bar), tools);
  let drawn = "";

  function update() {
    const { state, canvas, job } = upload;
    bar.value = upload.share;
    bar.hidden = state !== "sending";
    words.textContent = wordsOf(upload);
    const looks = `${state} ${Boolean(canvas)} ${job?.status}`;
    if (looks === drawn) return;
    drawn = looks;
    element.dataset.state = state;
    fill(name, job ? h("a", { href: `#/jobs/${job.id}` }, upload.name) : upload.name);
    fill(picture, pictureOf(upload));
    keepFocus(() => fill(tools, toolsOf(upload)), () => tools.lastElementChild);
  }

  return { element, update };
}

function toolsOf(upload) {
  const trying = wanting(upload) > 0 && button({ label: t("upload.again", upload.name), name: "again", kind: "quiet", onclick: () => again(upload) });
  const label = upload.state === "done" || upload.state === "queued" ? t("upload.hide", upload.name) : t("upload.remove", upload.name);
  return [trying, button({ label, name: "close", kind: "quiet", onclick: () => remove(upload) })];
}

function pictureOf({ state, canvas, job }) {
  if (state === "refused" || state === "failed") return icon("alert");
  const preset = state === "done" && bestFor(job.renditions, 88);
  if (preset) return framed({ src: renditionAddress(job.id, preset), blur: placeholder(job.original), kind: "small" });
  return canvas ?? icon("picture");
}

function wordsOf({ state, share, file, problem, job }) {
  if (state === "refused" || state === "failed") {
    const advice = problem && hasText(`advice.${problem.code}`) ? t(`advice.${problem.code}`) : "";
    return `${sentence(problem?.text ?? t(`upload.states.${state}`))} ${advice}`.trim();
  }
  const failed = Object.keys(job?.failed ?? {});
  if (state === "done" && failed.length) return t("upload.partly", failed);
  const said = state === "sending" && share > 0 ? (share < 1 ? percent(share) : t("upload.states.storing")) : t(`upload.states.${state}`);
  return `${bytes(file.size)} · ${said}`;
}
