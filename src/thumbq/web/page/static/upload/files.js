// Files before they are sent: where they come from, why one would be refused, and a small picture of each.

import { service } from "../core/service.js";

/** Returns the files of a drop. What is in folders comes with it. */
export async function dropped(transfer) {
  // The list is empty as soon as anything is waited for.
  const entries = Array.from(transfer.items, (item) => (item.kind === "file" ? (item.webkitGetAsEntry?.() ?? item.getAsFile()) : null));
  const files = [];
  for (const entry of entries) if (entry) await gather(entry, files);
  return files;
}

/** Returns the files of a paste. A picture from the clipboard has no name of its own: it gets one. */
export function pasted(transfer) {
  return Array.from(transfer?.files ?? []);
}

/** Returns whether something that is dragged has files. */
export function hasFiles(transfer) {
  return Array.from(transfer?.types ?? []).includes("Files");
}

async function gather(entry, files) {
  if (entry instanceof File) {
    files.push(entry);
  } else if (entry.isFile) {
    // One that cannot be read is refused as an empty one is, and the others are taken.
    files.push(await new Promise((resolve) => entry.file(resolve, () => resolve(new File([], entry.name)))));
  } else if (entry.isDirectory) {
    for (const inside of await contents(entry.createReader()).catch(() => [])) {
      if (!inside.name.startsWith(".")) await gather(inside, files);
    }
  }
}

/** Returns all entries of a folder: a reader gives a hundred at a time, and none at the end. */
async function contents(reader) {
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

const FILE_TYPE = "ftyp";
const LEAST = 16;

let patterns = null;

/** Returns why a file would be refused, as thumbq says it; null when it may be sent. Raises what reading it raises. */
export async function refusalOf(file) {
  const { limits, refusals, sniff_bytes: length } = service();
  if (file.size === 0) return problem("empty-file", refusals);
  if (file.size > limits.max_file_bytes) return problem("too-large", refusals);
  const head = new Uint8Array(await file.slice(0, length).arrayBuffer());
  return sniff(head) === null ? problem("unsupported-format", refusals) : null;
}

/** Returns the name of the format that a file's first bytes announce, or null. */
export function sniff(head) {
  let text = Array.from(head, (byte) => String.fromCharCode(byte)).join("");
  if (text.slice(4, 8) === FILE_TYPE) {
    const size = new DataView(head.buffer, head.byteOffset).getUint32(0);
    text = text.slice(0, Math.max(LEAST, size));
  }
  patterns ??= service().formats.map(({ name, pattern }) => ({ name, regex: new RegExp(`^(?:${pattern})`, "s") }));
  return patterns.find(({ regex }) => regex.test(text))?.name ?? null;
}

function problem(code, refusals) {
  return { code, text: refusals[code] };
}

const SIDE = 88;

let last = Promise.resolve();

/** Resolves to a canvas with the file's picture, or to null. */
export function previewOf(file) {
  last = last.then(() => draw(file)).catch(() => null);
  return last;
}

async function draw(file) {
  const bitmap = await createImageBitmap(file, { resizeWidth: SIDE * 2, resizeQuality: "medium" });
  const scale = Math.max(SIDE / bitmap.width, SIDE / bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  bitmap.close();
  return canvas;
}
