// Checks files before they are uploaded.

import { openContainer } from "../audio/containers/open_container";
import formats from "../audio_formats.json";

const EXTENSIONS = new Set(formats.extensions);

/** Whether the file's name or type says audio or video. The server checks the content; this only saves useless uploads. */
export function looksLikeAudio(file: File): boolean {
  if (/^(audio|video)\//.test(file.type)) return true;
  const extension = /\.([^.]+)$/.exec(file.name)?.[1]?.toLowerCase();
  // A file without an extension may be anything.
  return extension === undefined || EXTENSIONS.has(extension);
}

/** Returns the file's duration in seconds; null if its container does not say. */
export async function durationOf(file: File): Promise<number | null> {
  const read = async (start: number, stop: number) => new Uint8Array(await file.slice(start, stop).arrayBuffer());
  // If something is wrong with the file, the server will say so.
  const song = await openContainer(read, file.size, null).catch(() => undefined);
  return song ? song.totalSamples / song.sampleRate : null;
}
