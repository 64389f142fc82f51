// Files dropped anywhere on the page, whatever is open in it: else the browser would leave the page and open the file.

import { signal } from "@preact/signals";

import { looksLikeAudio } from "./files";

/** Whether files hover over the page. */
export const hovering = signal(false);

/** Hands over what is dropped, until `stop` aborts. */
export function takeDrops(onFiles: (files: Iterable<File>) => void, stop: AbortSignal): void {
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  const listen = (kind: "dragover" | "dragleave" | "drop", act: (event: DragEvent) => void) =>
    window.addEventListener(kind, act, { signal: stop });
  listen("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hovering.value = true;
  });
  listen("dragleave", (event) => {
    if (!event.relatedTarget) hovering.value = false;
  });
  listen("drop", (event) => {
    hovering.value = false;
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer) void filesIn(event.dataTransfer).then(onFiles);
  });
}

/** Returns the files that were dropped; of folders the songs in them, however deep, by their paths. */
async function filesIn(data: DataTransfer): Promise<File[]> {
  // Both at once: after the event they are gone.
  const files = [...data.files];
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (!entries.some((entry) => entry.isDirectory)) return files;
  const found = (await Promise.all(entries.map(open))).flat();
  const songs = found.filter(({ isLoose, file }) => isLoose || looksLikeAudio(file));
  // Each is then refused with a sentence: better than silence.
  return (songs.length ? songs : found).map(({ file }) => file);

  async function open(entry: FileSystemEntry): Promise<{ isLoose: boolean; file: File }[]> {
    const isLoose = entries.includes(entry);
    if (isFile(entry)) return [{ isLoose, file: await new Promise<File>((resolve, reject) => entry.file(resolve, reject)) }];
    const inside = (await listed(entry as FileSystemDirectoryEntry)).filter(({ name }) => !name.startsWith("."));
    inside.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    return (await Promise.all(inside.map(open))).flat();
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

/** Returns what is in a folder, which browsers tell a hundred at a time. */
async function listed(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
