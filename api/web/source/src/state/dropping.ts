// Accepts files that are dropped anywhere on the page. Otherwise the browser would leave the page and open the file.

import { signal } from "@preact/signals";

import { looksLikeAudio } from "./files";

/** Whether files are being dragged over the page. */
export const hovering = signal(false);

/** Calls `onFiles` with files that are dropped, until `stop` aborts. */
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

/** Returns the dropped files, and the songs in dropped folders at any depth, sorted by name. */
async function filesIn(data: DataTransfer): Promise<File[]> {
  // Both must be read now: after the event they are gone.
  const files = [...data.files];
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (!entries.some((entry) => entry.isDirectory)) return files;
  const found = (await Promise.all(entries.map(filesOf))).flat();
  const songs = found.filter(({ isLoose, file }) => isLoose || looksLikeAudio(file));
  // If there is no song, each file is refused with a message, which is better than silence.
  return (songs.length ? songs : found).map(({ file }) => file);

  async function filesOf(entry: FileSystemEntry): Promise<{ isLoose: boolean; file: File }[]> {
    const isLoose = entries.includes(entry);
    if (isFile(entry)) return [{ isLoose, file: await new Promise<File>((resolve, reject) => entry.file(resolve, reject)) }];
    const inside = (await listFolder(entry as FileSystemDirectoryEntry)).filter(({ name }) => !name.startsWith("."));
    inside.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    return (await Promise.all(inside.map(filesOf))).flat();
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

/** Lists a folder. Browsers return a hundred entries at a time. */
async function listFolder(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}
