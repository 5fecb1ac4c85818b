// What is refused before it is sent: in thumbq's words, by thumbq's limits and first bytes.

import { service } from "../core/service.js";

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
