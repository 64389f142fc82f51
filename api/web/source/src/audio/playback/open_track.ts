// Chooses how a file is played: cut into segments where its container allows, else whole if it is short.

import { isAdts, openAdts } from "../containers/adts";
import { NotSegmentable, nameAt, type Cuttable } from "../containers/cuttable";
import { openFlac } from "../containers/flac";
import { openMp3 } from "../containers/mp3";
import { openMp4 } from "../containers/mp4";
import { openOgg } from "../containers/ogg";
import { rangesOf, type ReadRange } from "./ranges";
import { SegmentedTrack } from "./segmented_track";
import { segmentsOf, type Segments } from "./segments";
import type { Track } from "./track";
import { openWav } from "../containers/wav";
import { openWebm } from "../containers/webm";
import { openWhole } from "./whole";

/**
 * What one file may take when it is decoded whole: nearly three minutes of stereo. The browser's decoder takes as much
 * again for a while.
 */
const MOST_WHOLE_BYTES = 60e6;

/** What is told of a stem or of the mixture. */
export interface AudioFile {
  url: string;
  size_bytes: number;
  duration_seconds?: number | null;
  sample_rate_hz?: number | null;
  channels?: number | null;
}

/** `offsetSeconds` is where in the file the song begins. */
export async function openTrack(context: AudioContext, file: AudioFile, signal: AbortSignal, offsetSeconds = 0): Promise<Track> {
  const segments = await openSegments(context, file, rangesOf(file.url, signal));
  return new SegmentedTrack(context, segments, Math.round(offsetSeconds * context.sampleRate));
}

export async function openSegments(context: BaseAudioContext, file: AudioFile, read: ReadRange): Promise<Segments> {
  try {
    const source = await openCuttable(read, file.size_bytes, file.sample_rate_hz ?? null);
    if (source) return segmentsOf(source, context, file.channels ?? 2);
  } catch (error) {
    if (!(error instanceof NotSegmentable)) throw error;
  }
  if (Math.max(file.size_bytes, bytesDecoded(file, context)) > MOST_WHOLE_BYTES) {
    throw new NotSegmentable("The file is long, and of a make that is not cut.");
  }
  return openWhole(read, file.size_bytes, context);
}

/** `told` is the rate that the file decodes to, as the server tells it: what a file's header tells may be half of it. */
type Open = (read: ReadRange, size: number, told: number | null) => Promise<Cuttable>;

/** Returns nothing for containers that are not known; throws where a known one cannot be cut. */
export async function openCuttable(read: ReadRange, size: number, told: number | null): Promise<Cuttable | undefined> {
  return cutterOf(await read(0, Math.min(12, size)))?.(read, size, told);
}

/** Tells by how a file begins what can cut it, whatever it is called. */
function cutterOf(head: Uint8Array): Open | undefined {
  const name = nameAt(head, 0);
  if (name === "fLaC") return openFlac;
  if (name === "RIFF") return openWav;
  if (name === "OggS") return openOgg;
  if (name === "\x1a\x45\xdf\xa3") return openWebm;
  if (nameAt(head, 4) === "ftyp") return openMp4;
  if (isAdts(head, 0)) return openAdts;
  return name.startsWith("ID3") || (head[0] === 0xff && (head[1]! & 0xe6) === 0xe2) ? openMp3 : undefined;
}

function bytesDecoded(file: AudioFile, context: BaseAudioContext): number {
  return (file.duration_seconds ?? Infinity) * context.sampleRate * (file.channels ?? 2) * 4;
}
