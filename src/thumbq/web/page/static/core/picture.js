// Renditions as pictures: its ThumbHash at once, then the picture itself.

import { thumbHashToRGBA } from "../vendor/thumbhash.js";
import { address } from "./api.js";
import { h, icon } from "./dom.js";

/** Returns the address of a rendition of a job. */
export function renditionAddress(id, preset) {
  return address(`jobs/${id}/${encodeURIComponent(preset)}`);
}

/** Returns the ThumbHash of an original as a picture's address; null when there is none. */
export function placeholder(original) {
  if (!original?.thumbhash) return null;
  try {
    const { w: width, h: height, rgba } = thumbHashToRGBA(Uint8Array.from(atob(original.thumbhash), (one) => one.charCodeAt(0)));
    const canvas = h("canvas", { width, height });
    canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba), width), 0, 0);
    return canvas.toDataURL();
  } catch {
    return null;
  }
}

/** Returns a frame with a picture in it. Until it is there, and behind what is smaller than the frame, lies the ThumbHash. */
export function framed({ src, alt = "", width, height, blur, kind = "", original = false }) {
  const frame = h("div", { class: `frame ${kind}` });
  if (blur) frame.append(h("img", { class: "blur", src: blur, alt: "", "aria-hidden": "true" }));
  if (!src) return frame.append(icon("picture")), frame;
  const image = h("img", { class: "picture", src: original ? null : src, alt, width, height, decoding: "async", draggable: "false" });
  if (original) inTurn(image, src);
  image.addEventListener("error", () => image.replaceWith(icon("picture")));
  frame.append(image);
  return frame;
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    last = last.then(() => loaded(target));
  }
});
const sources = new WeakMap();
let last = Promise.resolve();

/** Loads an original once it is seen and those before it are there: thumbq sends few of them at a time. */
function inTurn(image, src) {
  sources.set(image, src);
  seen.observe(image);
}

function loaded(image) {
  return new Promise((resolve) => {
    if (!image.isConnected) return resolve();
    image.addEventListener("load", resolve);
    image.addEventListener("error", resolve);
    image.src = sources.get(image);
  });
}

/** Returns the name of the rendition that is best shown at a side of so many pixels: the smallest that fills it. */
export function bestFor(renditions, side) {
  const made = Object.entries(renditions).filter(([, { width }]) => width);
  made.sort(([, one], [, other]) => largest(one) - largest(other));
  return (made.find(([, rendition]) => largest(rendition) >= side) ?? made.at(-1))?.[0] ?? null;
}

function largest({ width, height }) {
  return Math.max(width, height);
}
