// Texts in the browser's language, and numbers as it writes them.

import { h } from "./dom.js";

let texts = {};
let locale = "en";

/** Loads the texts of the first language of the browser that there is. */
export async function loadTexts() {
  const wanted = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  const chosen = wanted.find((language) => language === "ja" || language === "en") ?? "en";
  texts = (chosen === "ja" ? await import("../text/ja.js") : await import("../text/en.js")).default;
  locale = chosen;
  document.documentElement.lang = chosen;
}

/** Returns a text by its name, such as "upload.drop". Those that are about something take it as `about`. */
export function t(name, about) {
  const text = name.split(".").reduce((part, key) => part?.[key], texts);
  return typeof text === "function" ? text(about) : (text ?? name);
}

/** Returns whether there is a text of this name. */
export function hasText(name) {
  return name.split(".").reduce((part, key) => part?.[key], texts) !== undefined;
}

/** Returns what is told as a clause as a sentence, so that another can follow. */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/(?<![.。])$/, ".");
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"];

/** Returns a size in bytes with three digits at most. */
export function bytes(value) {
  const power = Math.min(value < 1000 ? 0 : Math.floor(Math.log10(value) / 3), UNITS.length - 1);
  const size = value / 1000 ** power;
  const style = { style: "unit", unit: UNITS[power], unitDisplay: power ? "short" : "long" };
  return new Intl.NumberFormat(locale, { ...style, maximumFractionDigits: size < 10 && power ? 1 : 0 }).format(size);
}

export function seconds(value) {
  const short = value < 1;
  const style = { style: "unit", unit: short ? "millisecond" : "second", unitDisplay: "short" };
  const digits = short ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return new Intl.NumberFormat(locale, { ...style, maximumFractionDigits: digits }).format(short ? value * 1000 : value);
}

export function time(text, style = { dateStyle: "medium", timeStyle: "medium" }) {
  return new Intl.DateTimeFormat(locale, style).format(new Date(text));
}

const AGES = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** Returns how long ago a time was, as an element that says when it was, too. */
export function ago(text) {
  const passed = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  const [unit, length] = AGES.find(([, least]) => passed >= least) ?? AGES.at(-1);
  const said = new Intl.RelativeTimeFormat(locale).format(-Math.floor(passed / length), unit);
  return h("time", { datetime: text, title: time(text) }, said);
}

export function percent(share) {
  return new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 }).format(share);
}

/** Returns the name of a format from its media type. */
export function formatName(mediaType) {
  const name = (mediaType ?? "").replace(/^image\//, "");
  return { webp: "WebP", heif: "HEIC" }[name] ?? name.toUpperCase();
}
