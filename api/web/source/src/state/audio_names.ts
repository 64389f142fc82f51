// Decides which files of a dropped folder may be audio, by their names, as shared/audio/names.py does for catalogs.

import { requestJson } from "../api/client";

/** The lists of static/audio_names.json, in lower case. */
export interface AudioNames {
  systemFolders: string[];
  systemFiles: string[];
  otherExtensions: string[];
}

/** Loads the lists; null if that fails, and everything is taken. */
export const loadAudioNames = (): Promise<AudioNames | null> => requestJson<AudioNames>("/static/audio_names.json").catch(() => null);

/** Whether the file at this path, below the folder that was dropped, may be audio. */
export function mayBeAudio(path: string, names: AudioNames): boolean {
  const folders = path.toLowerCase().split("/");
  const name = folders.pop()!;
  if (folders.some((folder) => folder.startsWith(".trash-") || names.systemFolders.includes(folder))) return false;
  if (name.startsWith("._") || names.systemFiles.includes(name)) return false;
  const extension = /.\.([a-z0-9_-]{1,12})$/.exec(name)?.[1];
  return extension ? !names.otherExtensions.includes(extension) : !/^\.[^. ][^ ]*$/.test(name);
}
