// What can be told of a file before it is sent.

import { openContainer } from "../audio/containers/open_container";

const EXTENSIONS = new Set(
  "mp3 m4a m4b mp4 aac flac wav wave w64 aif aiff aifc ogg oga opus webm mka mkv mov avi wma wv ape ac3 eac3 dts amr 3gp caf au mp2 alac tta mpc spx".split(" "),
);

/** Whether the name or the type says audio or video. The server looks at the content; this only spares an upload. */
export function looksLikeAudio(file: File): boolean {
  if (/^(audio|video)\//.test(file.type)) return true;
  const extension = /\.([^.]+)$/.exec(file.name)?.[1]?.toLowerCase();
  // A file without an extension may be anything.
  return extension === undefined || EXTENSIONS.has(extension);
}

/** Returns how long a file plays, where its own tables tell. */
export async function durationOf(file: File): Promise<number | null> {
  const read = async (start: number, stop: number) => new Uint8Array(await file.slice(start, stop).arrayBuffer());
  // Whatever is wrong with a file, the server says it best.
  const song = await openContainer(read, file.size, null).catch(() => undefined);
  return song ? song.totalSamples / song.sampleRate : null;
}
