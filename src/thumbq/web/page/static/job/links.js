// Links to copy: the page, the renditions, a command, and an <img> with all widths.

import { address } from "../core/api.js";
import { button, fill, h, icon, say } from "../core/dom.js";
import { service } from "../core/service.js";
import { t } from "../core/words.js";

const SAME_SHAPE = 0.02;

export function copyLinks(job) {
  const made = Object.entries(job.renditions).filter(([, { width }]) => width);
  const links = [
    [t("links.page"), location.href],
    ...made.map(([preset, rendition]) => [t("links.rendition", preset), linkTo(job, preset, rendition)]),
    ...made.slice(0, 1).map(([preset, rendition]) => ["curl", command(job, preset, rendition)]),
    ...(made.length ? [["<img srcset>", imageTag(job, made)]] : []),
  ];
  return h(
    "section",
    { class: "links", "aria-labelledby": "links-title" },
    h("h2", { id: "links-title" }, t("links.title")),
    h("dl", {}, links.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, h("code", { tabindex: "0" }, text), copyButton(name, text))))),
  );
}

/** Returns a button that copies a text, or that of an element, which stands before it. */
export function copyButton(name, text) {
  const label = t("links.copy", name);
  const copy = button({ label, name: "copy", kind: "quiet", onclick: press });
  async function press() {
    try {
      await navigator.clipboard.writeText(text.textContent ?? text);
    } catch {
      // Without https there is no clipboard: what is chosen can be copied by hand.
      getSelection().selectAllChildren(copy.previousElementSibling);
      return say(t("links.chosen"));
    }
    fill(copy, icon("check"));
    say(t("links.copied", name));
    setTimeout(() => fill(copy, icon("copy")), 1500);
  }
  return copy;
}

/** Returns the address of a rendition for others: absolute, as thumbq tells it if it knows. */
function linkTo(job, preset, rendition) {
  return /^https?:/.test(rendition.url) ? rendition.url : address(`jobs/${job.id}/${preset}`);
}

function command(job, preset, rendition) {
  const token = service().client.name ? ` -H "Authorization: Bearer $THUMBQ_TOKEN"` : "";
  const extension = rendition.content_type.replace("image/", "").replace("jpeg", "jpg");
  return `curl${token} -o ${preset}.${extension} ${linkTo(job, preset, rendition)}`;
}

/** Returns an <img> of the renditions that show the same: they have one shape, and widths of their own. */
function imageTag(job, made) {
  const shape = ([, { width, height }]) => width / height;
  const largest = made.reduce((one, other) => (one[1].width >= other[1].width ? one : other));
  const byWidth = new Map();
  for (const entry of made) if (Math.abs(shape(entry) / shape(largest) - 1) < SAME_SHAPE) byWidth.set(entry[1].width, entry);
  const alike = [...byWidth.values()].sort(([, one], [, other]) => one.width - other.width);
  const set = alike.map(([preset, rendition]) => `${linkTo(job, preset, rendition)} ${rendition.width}w`).join(", ");
  const [preset, { width, height }] = largest;
  return `<img src="${linkTo(job, preset, largest[1])}" srcset="${set}" sizes="(max-width: ${width}px) 100vw, ${width}px" width="${width}" height="${height}" alt="">`;
}
