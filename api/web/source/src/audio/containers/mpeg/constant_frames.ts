// Finds frames in MP3 files of a constant bitrate, as the worker writes them, without reading what comes before: frame lengths
// differ by one byte, and encoders spread these bytes so that each frame begins within a byte of its share of the file.

import type { ReadRange } from "../audio_file";
import { parseFrameHeader, type FrameHeader } from "./mp3_headers";

/** How far from its share of the file a frame may begin. */
const SLACK_BYTES = 2;

/** Where the frames are: `start` is in the file, and behind the frame with the encoder's tag. */
export interface ConstantRow {
  start: number;
  bytes: number;
  frames: number;
}

/**
 * Returns the bytes of the frames from `first` up to, not including, `stop`; null if they are not where they should be, as in a file
 * that was put together from several.
 */
export async function readConstantFrames(read: ReadRange, row: ConstantRow, first: number, stop: number): Promise<ArrayBuffer | null> {
  const placeOf = (frame: number) => Math.round((frame * row.bytes) / row.frames);
  const from = Math.max(0, placeOf(first) - SLACK_BYTES);
  const to = Math.min(row.bytes, placeOf(stop) + SLACK_BYTES);
  const bytes = await read(row.start + from, row.start + to);
  const begins = placeOf(first) - from;
  for (let at = begins - SLACK_BYTES; at <= begins + SLACK_BYTES; at++) {
    const end = at < 0 ? null : endOfFrames(bytes, at, stop - first);
    if (end !== null) return bytes.slice(at, end).buffer;
  }
  return null;
}

/** Returns where so many frames in a row end; null if there are fewer, or if one of them is of another kind. */
function endOfFrames(bytes: Uint8Array, at: number, count: number): number | null {
  let before: FrameHeader | undefined;
  for (let frame = 0; frame < count; frame++) {
    const header = parseFrameHeader(bytes, at);
    if (!header || (before && header.sampleRate !== before.sampleRate)) return null;
    before = header;
    at += header.bytes;
  }
  return at <= bytes.length ? at : null;
}
