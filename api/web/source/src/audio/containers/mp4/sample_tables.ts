// Reads from an MP4 file's tables where the frames of its audio track are. The MP4 standard calls a frame a sample.

import { UnsupportedFile } from "../audio_file";
import { textAt, viewOf } from "../bytes";
import { boxesIn, findBox } from "./boxes";

export interface AudioTrack {
  /** The content of the box `stsd`, which decoders need unchanged. */
  description: Uint8Array;
  /** Time units per second. */
  timescale: number;
  /** How long each frame but the last plays, and all of them together, in time units. */
  frameUnits: number;
  totalUnits: number;
  /** How much decoded audio comes before the song, in time units. */
  skipUnits: number;
  /** Where each frame is in the file, and how many bytes it has. */
  offsets: Float64Array;
  sizes: Uint32Array;
}

/** A day has fewer frames. A file with more has single samples for frames. */
const MAX_FRAMES = 5_000_000;

/** Returns the content of the first audio track in a box `moov`. */
export function findAudioTrack(moov: Uint8Array): Uint8Array {
  for (const { name, content } of boxesIn(moov)) {
    if (name === "trak" && textAt(findBox(content, "mdia", "hdlr") ?? new Uint8Array(12), 8) === "soun") return content;
  }
  throw new UnsupportedFile("The MP4 file has no audio track.");
}

/** Reads the tables of a track in a file of `size` bytes. */
export function readTrack(track: Uint8Array, size: number): AudioTrack {
  const table = requireBox(track, "mdia", "minf", "stbl");
  const sizes = readSizes(requireBox(table, "stsz"), size);
  return {
    description: requireBox(table, "stsd"),
    timescale: readTimescale(requireBox(track, "mdia", "mdhd")),
    skipUnits: readSkip(findBox(track, "edts", "elst")),
    ...readTimes(requireBox(table, "stts")),
    sizes,
    offsets: readOffsets(table, sizes),
  };
}

/** As `findBox`, but throws UnsupportedFile if the box is missing. */
function requireBox(content: Uint8Array, ...path: string[]): Uint8Array {
  const found = findBox(content, ...path);
  if (!found) throw new UnsupportedFile(`The MP4 file has no ${path.join("/")}.`);
  return found;
}

function readTimescale(mdhd: Uint8Array): number {
  return viewOf(mdhd).getUint32(mdhd[0] === 1 ? 20 : 12);
}

function readSizes(stsz: Uint8Array, fileSize: number): Uint32Array {
  const view = viewOf(stsz);
  const [same, count] = [view.getUint32(4), view.getUint32(8)];
  // Each frame has a byte at least, and each size that is listed has four.
  const most = Math.min(MAX_FRAMES, fileSize, same ? Infinity : (stsz.length - 12) / 4);
  if (count === 0 || count > most) throw new UnsupportedFile(`The MP4 file has ${count} frames.`);
  return Uint32Array.from({ length: count }, (_, frame) => same || view.getUint32(12 + frame * 4));
}

function readTimes(stts: Uint8Array): { frameUnits: number; totalUnits: number } {
  const view = viewOf(stts);
  const entries = view.getUint32(4);
  let totalUnits = 0;
  let [frameUnits, most] = [0, 0];
  for (let entry = 0; entry < entries; entry++) {
    const [count, units] = [view.getUint32(8 + entry * 8), view.getUint32(12 + entry * 8)];
    totalUnits += count * units;
    if (count > most) [frameUnits, most] = [units, count];
  }
  return { frameUnits, totalUnits };
}

/** Returns how much the edit list drops at the start: what the encoder added before the song. */
function readSkip(elst: Uint8Array | undefined): number {
  if (!elst) return 0;
  const view = viewOf(elst);
  const isLong = elst[0] === 1;
  const starts: number[] = [];
  for (let edit = 0; edit < view.getUint32(4); edit++) {
    const start = isLong ? Number(view.getBigInt64(16 + edit * 20)) : view.getInt32(12 + edit * 12);
    // A negative start means silence before the song.
    if (start >= 0) starts.push(start);
  }
  if (starts.length > 1) throw new UnsupportedFile("The MP4 file has several edits.");
  return starts[0] ?? 0;
}

/** Reads where each frame is: the tables give the places of chunks, and how many frames are in each. */
function readOffsets(table: Uint8Array, sizes: Uint32Array): Float64Array {
  const chunks = readChunks(table);
  const stsc = viewOf(requireBox(table, "stsc"));
  const runs = stsc.getUint32(4);
  const offsets = new Float64Array(sizes.length);
  let frame = 0;
  let chunk = 0;
  for (let run = 0; run < runs && frame < sizes.length; run++) {
    const at = 8 + run * 12;
    const stop = run + 1 < runs ? stsc.getUint32(at + 12) - 1 : chunks.length;
    if (stsc.getUint32(at) - 1 !== chunk || stop > chunks.length) throw new UnsupportedFile("The MP4 file's chunks are out of order.");
    const framesInChunk = stsc.getUint32(at + 4);
    for (; chunk < stop; chunk++) {
      let offset = chunks[chunk]!;
      for (let i = 0; i < framesInChunk && frame < sizes.length; i++) {
        offsets[frame] = offset;
        offset += sizes[frame++]!;
      }
    }
  }
  if (frame < sizes.length) throw new UnsupportedFile("The MP4 file's tables end too early.");
  return offsets;
}

function readChunks(table: Uint8Array): Float64Array {
  const long = findBox(table, "co64");
  const content = long ?? requireBox(table, "stco");
  const view = viewOf(content);
  const count = view.getUint32(4);
  if (count > (content.length - 8) / (long ? 8 : 4)) throw new UnsupportedFile("The MP4 file's tables end too early.");
  return Float64Array.from({ length: count }, (_, chunk) =>
    long ? Number(view.getBigUint64(8 + chunk * 8)) : view.getUint32(8 + chunk * 4),
  );
}
