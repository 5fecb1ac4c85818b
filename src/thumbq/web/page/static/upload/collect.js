// Files from wherever they come: dropped, also in folders, or pasted.

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
    files.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  } else if (entry.isDirectory) {
    for (const inside of await contents(entry.createReader())) {
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
