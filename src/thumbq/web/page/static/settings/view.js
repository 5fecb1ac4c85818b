// The presets, and a live try of one: a picture as these options would make it, what it costs, and the lines to copy.

import { request } from "../core/api.js";
import { button, fill, h } from "../core/dom.js";
import { patiently } from "../core/patience.js";
import { service } from "../core/service.js";
import { bytes, formatName, seconds, t } from "../core/words.js";
import { copyButton } from "../job/links.js";
import { refusalOf } from "../upload/files.js";

const COLUMNS = ["width", "height", "fit", "format", "quality"];

/** Opens the view in an element. Returns what closes it. */
export function open(container) {
  const stop = new AbortController();
  const { signal } = stop;
  const { presets } = service();
  const inputs = {
    width: input("number", 1, 16383, 1),
    height: input("number", 1, 16383, 1),
    fit: choice(["contain", "cover", "fill", "none"]),
    format: choice(["jpeg", "webp", "avif", "png", "auto"]),
    quality: input("range", 1, 100, 1),
    x: input("range", 0, 1, 0.01),
    y: input("range", 0, 1, 0.01),
  };
  const values = { quality: h("output"), x: h("output"), y: h("output") };
  const picker = h("input", { type: "file", hidden: true, onchange: () => void take(picker.files[0]) });
  const picture = h("img", { alt: t("settings.picture"), hidden: true });
  const facts = h("p", { role: "status" }, t("settings.drop"));
  const lines = h("code", { tabindex: "0" });
  let name = "";
  let file = null;
  let stale = false;
  let runs = false;

  fill(
    container,
    h("h1", {}, t("nav.presets")),
    h("section", { class: "queue" }, h("div", { class: "scrolled", tabindex: "0", role: "region", "aria-label": t("nav.presets") }, table())),
    h(
      "section",
      { class: "queue try", "data-drop": "", "aria-labelledby": "try-title", onfiles: ({ detail }) => void take(detail[0]) },
      h("div", { class: "row" }, h("h2", { id: "try-title" }, t("settings.title")), button({ text: t("settings.choose"), name: "picture", onclick: () => picker.click() }), picker),
      h("div", { class: "row options", oninput: changed }, Object.entries(inputs).map(([key, control]) => h("label", {}, h("span", {}, t(`settings.${key}`), " ", values[key]), control))),
      h("div", { class: "made" }, facts, picture),
      h("pre", {}, lines, copyButton("TOML", lines)),
    ),
  );
  begin(presets[0]);

  function table() {
    const row = (preset) =>
      h("tr", {}, h("th", { scope: "row" }, button({ text: preset.name, kind: "quiet", onclick: () => begin(preset) })), COLUMNS.map((key) => h("td", {}, preset[key] ?? "")));
    return h("table", {}, h("thead", {}, h("tr", {}, ["name", ...COLUMNS].map((key) => h("th", { scope: "col" }, t(`settings.${key}`))))), h("tbody", {}, presets.map(row)));
  }

  /** Goes on from a preset. */
  function begin(preset) {
    ({ name } = preset);
    for (const key of COLUMNS) inputs[key].value = preset[key] ?? "";
    [inputs.x.value, inputs.y.value] = preset.focal_point ?? [0.5, 0.5];
    changed();
  }

  async function take(taken) {
    picker.value = "";
    if (!taken) return;
    file = null;
    const refusal = await refusalOf(taken).catch(() => ({ text: t("advice.unreadable") }));
    if (refusal) return refuse(refusal);
    file = taken;
    changed();
  }

  function refuse({ text, message = text, code }) {
    picture.hidden = true;
    fill(facts, message, " ", code && h("code", {}, code));
  }

  /** Returns the options that mean something beside each other. */
  function options() {
    const { width, height, fit, format, quality, x, y } = inputs;
    const sized = fit.value !== "none";
    return [
      ["width", sized && width.value],
      ["height", sized && height.value],
      ["fit", fit.value],
      ["focal_point", fit.value === "cover" && [x.value, y.value]],
      ["format", format.value],
      ["quality", format.value !== "png" && quality.value],
    ].filter(([, value]) => value);
  }

  /** Shows the lines, and makes the picture. However fast changes come, one is made at a time, and the last of them. */
  async function changed() {
    for (const key in values) fill(values[key], inputs[key].value);
    for (const key of ["x", "y"]) inputs[key].parentElement.hidden = inputs.fit.value !== "cover";
    for (const key of ["width", "height"]) inputs[key].disabled = inputs.fit.value === "none";
    inputs.quality.disabled = inputs.format.value === "png";
    lines.textContent = [`[presets.${name}]`, ...options().map(([key, value]) => `${key} = ${Array.isArray(value) ? `[${value.join(", ")}]` : isNaN(value) ? `"${value}"` : value}`)].join("\n");
    stale = file !== null;
    if (runs) return;
    runs = true;
    while (stale && !signal.aborted) await make();
    runs = false;
  }

  async function make() {
    try {
      const answer = await patiently(asked, { signal });
      show(await answer.blob(), answer.headers.get("Server-Timing"));
    } catch (error) {
      if (signal.aborted) return;
      refuse(error);
    }
  }

  function asked() {
    stale = false;
    const query = new URLSearchParams(options().flatMap(([key, value]) => [value].flat().map((each) => [key, each])));
    return request(`try?${query}`, { method: "POST", body: file, signal, whole: true });
  }

  async function show(made, timing) {
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(made);
    picture.hidden = false;
    await picture.decode().catch(() => {});
    const cpu = /dur=([\d.]+)/.exec(timing)?.[1];
    const size = picture.naturalWidth && `${picture.naturalWidth} × ${picture.naturalHeight}`;
    fill(facts, [size, formatName(made.type), bytes(made.size), cpu && t("settings.cpu", seconds(cpu / 1000))].filter(Boolean).join(" · "));
  }

  return () => {
    stop.abort();
    URL.revokeObjectURL(picture.src);
  };
}

function input(type, min, max, step) {
  return h("input", { type, min, max, step });
}

function choice(values) {
  return h("select", {}, values.map((value) => h("option", {}, value)));
}
