// The original and its renditions side by side, with what was done to each.

import { address } from "../core/api.js";
import { button, fill, h, icon, keepFocus } from "../core/dom.js";
import { framed, placeholder, renditionAddress } from "../core/picture.js";
import { may } from "../core/service.js";
import { bytes, formatName, number, percent, t } from "../core/words.js";

const SHOWN_BY_BROWSERS = new Set(["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp"]);
const SHOWN_AT_ONCE = 8_000_000;

export function pictures(job) {
  const renditions = Object.entries(job.renditions);
  return h(
    "section",
    { "aria-labelledby": "pictures-title" },
    h("h2", { id: "pictures-title" }, t("job.pictures")),
    h("div", { class: "pictures" }, original(job), renditions.map(([preset, made]) => rendition(job, preset, made))),
  );
}

function rendition(job, preset, made) {
  const href = renditionAddress(job.id, preset);
  const { width, height, bytes: size, content_type: type } = made;
  const alt = t("job.rendition", { preset, name: job.original?.filename ?? "" });
  const frame = framed({ src: width && href, alt, width, height, blur: placeholder(job.original) });
  const share = size && job.original?.bytes ? ` (${percent(size / job.original.bytes)})` : "";
  const facts = width ? `${width} × ${height} · ${formatName(type)} · ${bytes(size)}${share}` : t("states.queued");
  const steps = stepsInWords(made.steps);
  return figure(
    width ? h("a", { href, target: "_blank", rel: "noreferrer" }, frame) : frame,
    preset,
    facts,
    steps.length > 0 && h("ul", { class: "steps" }, steps.map((step) => h("li", {}, step))),
  );
}

function original(job) {
  const { bytes: size, content_type: type, width, height, filename } = job.original ?? {};
  if (!may("read") || !type) return null;
  const href = address(`originals/${job.id}`);
  const place = h("div", { class: "frame" }, icon("picture"));
  const holder = h("div", { class: "holder" }, place);
  const offer = () => place.append(button({ text: t("job.show", bytes(size)), kind: "quiet", onclick: show }));
  const show = () => {
    const frame = framed({ src: href, alt: t("job.original", filename ?? ""), width, height, blur: placeholder(job.original), original: true });
    // Few originals are sent at once: thumbq may have had no room for this one.
    frame.querySelector(".picture").addEventListener("error", () => (holder.replaceChildren(place), offer()), { once: true });
    place.replaceChildren(icon("picture"));
    const link = h("a", { href, target: "_blank", rel: "noreferrer" }, frame);
    keepFocus(() => fill(holder, link), () => link);
  };
  if (!SHOWN_BY_BROWSERS.has(type)) place.append(h("span", { class: "note" }, t("job.notShown", formatName(type))));
  else if (size > SHOWN_AT_ONCE) offer();
  else show();
  const facts = [width && `${width} × ${height}`, formatName(type), size && bytes(size)].filter(Boolean).join(" · ");
  return figure(holder, t("job.originalTitle"), facts, h("p", { class: "steps" }, h("a", { href, download: filename ?? "" }, t("job.save"))));
}

function figure(picture, title, facts, ...more) {
  return h("figure", {}, picture, h("figcaption", {}, h("b", {}, title), h("span", { class: "facts" }, facts), ...more));
}

/** Returns a text for each step; what was not done has none. */
function stepsInWords(steps) {
  if (!steps) return [];
  const { orientation = 1, profile, flattened_on: background, frames_dropped: dropped = 0, shrink_on_load: shrunk } = steps;
  return [
    orientation > 1 && t(`steps.orientation.${orientation}`),
    profile && t(`steps.profile.${profile}`),
    background && t("steps.flattened", background),
    dropped > 0 && t("steps.dropped", number(dropped)),
    shrunk && shrinking(shrunk),
  ].filter(Boolean);
}

function shrinking(shrunk) {
  if (shrunk === "embedded-thumbnail") return t("steps.embedded");
  const [scale, scans] = shrunk.split(" ");
  return t(scans ? "steps.shrunkScans" : "steps.shrunk", scale);
}
