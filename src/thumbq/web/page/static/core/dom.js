// Elements of the page. Text is always text: nothing here takes markup.

/** Returns an element with these properties and children; null, undefined and false are none. */
export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** Puts other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  again: "M4 12a8 8 0 1 1 2.5 5.8M4 12V6.5M4 12h5.5",
  alert: "M12 4 2.8 20h18.4zM12 10v4.5M12 17v.5",
  arrow: "M19 12H5m6-6-6 6 6 6",
  camera: "M4 8h3.5l1.5-2.5h6L16.5 8H20v11H4zM12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  folder: "M3 6h6l2 2.5h10V19H3z",
  picture: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 2.5-2.5 5 4.5M15.5 9.5v.1",
  trash: "M5 7h14M10 7V4.5h4V7M6.5 7l1 13h9l1-13",
  upload: "M12 16V5m-5 4.5L12 4.5l5 5M4 16v3.5h16V16",
};

/** Returns an icon; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Returns a button. Without a text it shows the icon alone, and `label` says what it does. */
export function button({ text, label, name, kind = "", ...properties }) {
  const shown = [name && icon(name), text && h("span", {}, text)];
  const look = `button ${kind}${text ? "" : " bare"}`;
  return h("button", { type: "button", class: look, "aria-label": label, title: text ? undefined : label, ...properties }, ...shown);
}

/**
 * Does some work without losing the focus: what has it keeps it, and when that is gone or can have it no more, `instead` is
 * asked for an element, or else the view gets it.
 */
export function keepFocus(work, instead = () => null) {
  const had = document.activeElement;
  work();
  if (had === document.body || (had === document.activeElement && usable(had))) return;
  const next = [had, instead(), document.getElementById("main")].find((element) => element && usable(element));
  next?.focus({ preventScroll: next.id === "main" });
}

/** Returns what stands where something should be: what is wrong, and what can be done about it. */
export function trouble(...children) {
  return h("div", { class: "gallery-state" }, icon("alert"), children);
}

function usable(element) {
  return element.checkVisibility() && !element.disabled;
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "checked" || name === "disabled" || name === "value" || name === "hidden") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

const region = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
let timer = 0;

document.body.append(region);

/** Tells a screen reader something that it has not asked for. Of much in a short time it tells the last. */
export function say(text) {
  clearTimeout(timer);
  timer = setTimeout(() => (region.textContent = text), 300);
}
