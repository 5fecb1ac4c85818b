// What a screen reader is told without being asked. Much in a short time is told as the last of it.

import { h } from "./dom.js";

const region = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
let timer = 0;

document.body.append(region);

export function say(text) {
  clearTimeout(timer);
  timer = setTimeout(() => (region.textContent = text), 300);
}
