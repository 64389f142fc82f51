// Chooses how a file is played: cut into segments where its format allows, whole if it is short, else by an element.

import { ElementTrack } from "./element_track";
import { openFlac } from "./flac";
import { openMp3 } from "./mp3";
import { rangesOf, type ReadRange } from "./ranges";
import { SegmentedTrack } from "./segmented_track";
import { NotSegmentable, type Segments } from "./segments";
import type { Track } from "./track";
import { openWav } from "./wav";
import { openWhole } from "./whole";

/**
 * What one file may take when it is decoded whole: nearly three minutes of stereo. The browser's decoder takes as much
 * again for a while: two stems and an original of that length were measured at 450 MB, longer ones would take more.
 */
const MOST_WHOLE_BYTES = 60e6;

/** What is told of a stem or of the mixture. */
export interface AudioFile {
  url: string;
  size_bytes: number;
  duration_seconds?: number | null;
  channels?: number | null;
}

/**
 * `offsetSeconds` is where in the file the song begins. `playable` gives an address that a media element can play,
 * which cannot send a key.
 */
export async function openTrack(
  context: AudioContext,
  file: AudioFile,
  playable: (url: string) => Promise<string>,
  signal: AbortSignal,
  offsetSeconds = 0,
): Promise<Track> {
  try {
    const segments = await openSegments(context, file, rangesOf(file.url, signal));
    return new SegmentedTrack(context, segments, Math.round(offsetSeconds * context.sampleRate));
  } catch (error) {
    if (!(error instanceof NotSegmentable)) throw error;
  }
  return new ElementTrack(context, await playable(file.url), offsetSeconds);
}

async function openSegments(context: AudioContext, file: AudioFile, read: ReadRange): Promise<Segments> {
  try {
    const cut = cutterOf(await read(0, 4));
    const segments = await cut?.(read, file.size_bytes);
    if (segments?.sampleRate === context.sampleRate) return segments;
  } catch (error) {
    if (!(error instanceof NotSegmentable)) throw error;
  }
  if (Math.max(file.size_bytes, bytesDecoded(file, context)) > MOST_WHOLE_BYTES) {
    throw new NotSegmentable("The file is long, and of a make that is not cut.");
  }
  return openWhole(read, file.size_bytes, context);
}

/** Tells by how a file begins what can cut it, whatever it is called. */
function cutterOf(head: Uint8Array): ((read: ReadRange, size: number) => Promise<Segments>) | undefined {
  const name = String.fromCharCode(...head);
  if (name === "fLaC") return openFlac;
  if (name === "RIFF") return openWav;
  return name.startsWith("ID3") || (head[0] === 0xff && (head[1]! & 0xe6) === 0xe2) ? openMp3 : undefined;
}

function bytesDecoded(file: AudioFile, context: AudioContext): number {
  return (file.duration_seconds ?? Infinity) * context.sampleRate * (file.channels ?? 2) * 4;
}
