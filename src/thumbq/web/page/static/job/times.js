// How long each part of a job took, as a bar and in figures.

import { h } from "../core/dom.js";
import { seconds, t, time } from "../core/words.js";

const PARTS = ["waited", "fetched", "rendered", "stored"];

export function times(job) {
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
