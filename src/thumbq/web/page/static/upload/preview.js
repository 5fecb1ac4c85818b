// A small picture of a file before thumbq has one, where the browser knows its format. One file at a time.

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
