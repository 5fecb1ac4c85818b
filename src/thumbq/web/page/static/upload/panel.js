// Where files come in: a place to drop them, the buttons, and how they are to be done.

import { button, h } from "../core/dom.js";
import { isKnown, may, service } from "../core/service.js";
import { formatName, number, t } from "../core/words.js";
import { dropped, hasFiles, pasted } from "./files.js";
import { add, options } from "./uploads.js";

/**
 * Takes what is dropped or pasted anywhere on the page: for the part of it that has the attribute data-drop, which gets an
 * event "files", or else to upload it. Then `taken` is called. What comes before a log-in waits for it.
 */
export function takeEverywhere(taken) {
  const take = async (files) => {
    if (files.length === 0) return;
    await isKnown;
    const part = document.querySelector("[data-drop]");
    if (part) return part.dispatchEvent(new CustomEvent("files", { detail: files }));
    if (!may("upload")) return;
    add(files);
    taken();
  };
  let depth = 0;
  const show = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  addEventListener("dragenter", (event) => hasFiles(event.dataTransfer) && show(1));
  addEventListener("dragleave", (event) => hasFiles(event.dataTransfer) && show(-1));
  addEventListener("dragover", (event) => hasFiles(event.dataTransfer) && event.preventDefault());
  addEventListener("drop", async (event) => {
    show(-depth);
    if (!hasFiles(event.dataTransfer)) return;
    event.preventDefault();
    take(await dropped(event.dataTransfer));
  });
  addEventListener("paste", (event) => take(pasted(event.clipboardData)));
}

/** Returns the panel. */
export function uploadPanel() {
  const { formats, limits } = service();
  const files = picker({ multiple: true, accept: accepted(formats) });
  const folder = picker({ webkitdirectory: true });
  const camera = picker({ accept: "image/*", capture: "environment" });
  return h(
    "section",
    { class: "panel", "aria-labelledby": "upload-title" },
    h(
      "div",
      { class: "about" },
      h("h1", { id: "upload-title" }, t("upload.title")),
      h("p", { class: "wide" }, t("upload.drop")),
      h("p", { class: "hint" }, t("upload.limits", { formats: formats.map(({ content_type: type }) => formatName(type)).sort(), size: number(limits.max_file_bytes / 2 ** 20, 1) })),
    ),
    h(
      "div",
      { class: "actions" },
      button({ text: t("upload.files"), name: "upload", kind: "primary", onclick: () => files.click() }),
      button({ text: t("upload.folder"), name: "folder", kind: "folders", onclick: () => folder.click() }),
      button({ text: t("upload.camera"), name: "camera", kind: "cameras", onclick: () => camera.click() }),
    ),
    choices(),
    files,
    folder,
    camera,
  );
}

function picker(properties) {
  const input = h("input", { type: "file", hidden: true, tabindex: "-1", "aria-hidden": "true", ...properties });
  input.addEventListener("change", () => {
    // Folders have files of the system's own.
    add(Array.from(input.files).filter(({ name }) => !input.webkitdirectory || !name.startsWith(".")));
    input.value = "";
  });
  return input;
}

function accepted(formats) {
  return [...formats.map((format) => format.content_type), ".heic", ".heif"].join(",");
}

/** Returns the choice of presets and of the queue, where there is one. */
function choices() {
  const { presets, queues, upload_presets: usual } = service();
  if (presets.length < 2 && queues.length === 0) return null;
  const says = h("span", { class: "chosen" });
  const boxes = presets.map((preset) => {
    const change = ({ target }) => {
      options.presets = presets.map(({ name }) => name).filter((name) => (name === preset.name ? target.checked : options.presets.includes(name)));
      tell();
    };
    const box = h("input", { type: "checkbox", checked: options.presets.includes(preset.name), onchange: change });
    return h("label", { class: "choice" }, box, h("span", {}, preset.name), h("small", {}, sizeOf(preset)));
  });
  const tell = () => (says.textContent = options.presets.length ? options.presets.join(", ") : t("upload.usual", usual));
  tell();
  return h(
    "details",
    { class: "choices" },
    h("summary", {}, h("span", {}, t("upload.how")), says),
    h("fieldset", {}, h("legend", {}, t("upload.presets")), boxes),
    queues.length > 0 && queueChoice(queues),
  );
}

function queueChoice(queues) {
  const select = h("select", { id: "queue", onchange: () => (options.queue = select.value) });
  select.append(h("option", { value: "" }, t("upload.usualQueue")), ...queues.map((name) => h("option", { value: name }, name)));
  select.value = options.queue;
  return h("p", { class: "field" }, h("label", { for: "queue" }, t("upload.queue")), select);
}

function sizeOf({ width, height, fit }) {
  return fit === "none" ? t("upload.sameSize") : `${width ?? "…"} × ${height ?? "…"}`;
}
