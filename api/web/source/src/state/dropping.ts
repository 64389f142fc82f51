// Accepts files that are dropped anywhere on the page. Otherwise the browser would leave the page and open the file.

import { signal } from "@preact/signals";

import { loadAudioNames, mayBeAudio } from "./audio_names";
import { leftOut } from "./uploads";

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

/** Returns the dropped files, and those in dropped folders that may be songs, sorted by name. Says which are left out. */
async function filesIn(data: DataTransfer): Promise<File[]> {
  // Both must be read now: after the event they are gone.
  const files = [...data.files];
  const entries = [...data.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  leftOut.value = [];
  if (!entries.some((entry) => entry.isDirectory)) return files;
  const [names, found] = await Promise.all([loadAudioNames(), Promise.all(entries.map((entry) => filesOf(entry)))]);
  const isTaken = ({ path, isLoose }: Found) => isLoose || !names || mayBeAudio(path, names);
  leftOut.value = found.flat().filter((file) => !isTaken(file)).map(({ path }) => path);
  return found.flat().filter(isTaken).map(({ file }) => file);
}

/** A dropped file; a loose one was not in a folder. */
interface Found {
  path: string;
  isLoose: boolean;
  file: File;
}

async function filesOf(entry: FileSystemEntry, folder = ""): Promise<Found[]> {
  const path = folder + entry.name;
  if (isFile(entry)) return [{ path, isLoose: !folder, file: await new Promise<File>((resolve, reject) => entry.file(resolve, reject)) }];
  const inside = await listFolder(entry as FileSystemDirectoryEntry);
  inside.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  return (await Promise.all(inside.map((inner) => filesOf(inner, `${path}/`)))).flat();
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
