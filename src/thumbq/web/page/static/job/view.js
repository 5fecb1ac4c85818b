// The page of one job: its pictures side by side, what was done to them, how long it took, and links to copy.

import { Problem, request } from "../core/api.js";
import { confirmed } from "../core/dialog.js";
import { button, fill, h, icon, keepFocus, say, trouble } from "../core/dom.js";
import { patiently } from "../core/patience.js";
import { may } from "../core/service.js";
import { whenEnded } from "../core/watch.js";
import { bytes, formatName, hasText, number, seconds, sentence, t, time } from "../core/words.js";
import { source } from "../gallery/source.js";
import { forget } from "../upload/uploads.js";
import { copyLinks } from "./links.js";
import { pictures } from "./pictures.js";

const PARTS = ["waited", "fetched", "rendered", "stored"];

/** Opens the view of the job with this id in an element. Returns what closes it. */
export function open(container, { id }) {
  const stop = new AbortController();
  let stopWaiting = () => {};
  fill(container, back(), h("p", { class: "hint" }, t("loading")));
  load().catch((error) => {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    fill(container, back(), nothing(error));
  });

  async function load() {
    const { signal } = stop;
    const { data } = await patiently(() => request(`jobs/${id}`, { signal }), { signal });
    if (signal.aborted) return;
    show(data);
    if (data.status === "queued" || data.status === "awaiting-upload") {
      stopWaiting = whenEnded(id, (job) => {
        if (job === null) return load();
        keepFocus(() => show(job));
        say(t(`states.${job.status}`));
      });
    }
  }

  function show(job) {
    const name = job.original?.filename ?? t("gallery.unnamed");
    document.title = `${name} – thumbq`;
    fill(
      container,
      back(),
      h(
        "article",
        { class: "job" },
        h("header", {}, h("div", { class: "row" }, h("h1", {}, name), h("span", { class: `badge ${job.status}` }, t(`states.${job.status}`))), h("p", { class: "hint" }, facts(job))),
        faults(job),
        pictures(job),
        times(job),
        copyLinks(job),
        may("admin") && h("footer", {}, button({ text: t("job.delete"), name: "trash", kind: "danger", onclick: () => void remove(name) })),
      ),
    );
  }

  async function remove(name) {
    if (!(await confirmed({ title: t("job.deleteTitle"), text: t("job.deleteText", name), action: t("job.delete") }))) return;
    try {
      await patiently(() => request(`jobs/${id}`, { method: "DELETE" }));
    } catch (error) {
      return fill(container, back(), nothing(error));
    }
    source.remove(id);
    forget(id);
    say(t("job.deleted", name));
    location.hash = "#/";
  }

  return () => {
    stop.abort();
    stopWaiting();
  };
}

function back() {
  return h("p", {}, h("a", { class: "back", href: "#/" }, icon("arrow"), t("nav.pictures")));
}

function nothing(error) {
  return trouble(h("h1", {}, t(error.status === 404 || error.status === 410 ? "job.none" : "nav.job")), h("p", {}, error.message));
}

function facts({ original }) {
  if (!original) return "";
  const { bytes: size, content_type: type, width, height, frames } = original;
  return [
    size !== null && size !== undefined && bytes(size),
    formatName(type),
    width && `${width} × ${height}`,
    frames > 1 && t("job.frames", number(frames)),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Returns what went wrong, and what to do about it. */
function faults({ error, failed }) {
  const all = [...(error ? [["", error]] : []), ...Object.entries(failed ?? {})];
  if (all.length === 0) return null;
  return h(
    "div",
    { class: "faults", role: "group", "aria-label": t("job.faults") },
    all.map(([preset, { code, message }]) =>
      h("p", {}, icon("alert"), h("span", {}, preset && h("b", {}, `${preset}: `), sentence(message), " ", hasText(`advice.${code}`) && t(`advice.${code}`), " ", h("code", {}, code))),
    ),
  );
}

/** Returns how long each part took, as a bar and in figures. */
function times(job) {
  const parts = PARTS.map((part) => [part, job.times?.[`${part}_s`]]).filter(([, value]) => value !== null && value !== undefined);
  if (!job.finished_at) return null;
  const all = parts.reduce((sum, [, value]) => sum + value, 0);
  return h(
    "section",
    { class: "times", "aria-labelledby": "times-title" },
    h("h2", { id: "times-title" }, t("job.times")),
    all > 0 && h("div", { class: "bar", "aria-hidden": "true" }, parts.map(([part, value]) => h("span", { class: part, style: { "flex-grow": String((100 * value) / all) } }))),
    h(
      "dl",
      {},
      parts.map(([part, value]) => h("div", {}, h("dt", { class: part }, t(`times.${part}`)), h("dd", {}, seconds(value)))),
      parts.length > 1 && h("div", {}, h("dt", {}, t("times.all")), h("dd", {}, seconds(all))),
      h("div", {}, h("dt", {}, t("times.finished")), h("dd", {}, time(job.finished_at))),
    ),
  );
}
