// Reads what a file says of itself before it is uploaded. Whether it is audio is for the server to find out.

import { openContainer } from "../audio/containers/open_container";

/** Returns the file's duration in seconds; null if its container does not say. */
export async function durationOf(file: File): Promise<number | null> {
  const read = async (start: number, stop: number) => new Uint8Array(await file.slice(start, stop).arrayBuffer());
  // If something is wrong with the file, the server will say so.
  const song = await openContainer(read, file.size, null).catch(() => undefined);
  return song ? song.totalSamples / song.sampleRate : null;
}
