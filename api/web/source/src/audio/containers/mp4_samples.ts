// Where the frames of an MP4 file's sound are, by its tables. What the tables call a sample is a frame here.

import { boxesIn, findBox } from "./mp4_boxes";
import { nameAt, NotSegmentable, viewOf } from "./cuttable";

export interface Mp4Sound {
  /** What decoders need to know: the box `stsd` as it is. */
  description: Uint8Array;
  /** Units of time in a second. */
  timescale: number;
  /** How long each frame plays but the last, and all of them, in such units. */
  frameUnits: number;
  totalUnits: number;
  /** How much of what is decoded comes before the song, in such units. */
  skipUnits: number;
  /** Where each frame is, and how many bytes it has. */
  offsets: Float64Array;
  sizes: Uint32Array;
}

/** More frames than a day has; a file with more has single samples for frames. */
const MOST_FRAMES = 5_000_000;

/** Returns the first track with sound of a box `moov`. */
export function soundTrack(moov: Uint8Array): Uint8Array {
  for (const { name, content } of boxesIn(moov)) {
    if (name === "trak" && nameAt(findBox(content, "mdia", "hdlr") ?? new Uint8Array(12), 8) === "soun") return content;
  }
  throw new NotSegmentable("The MP4 file has no sound.");
}

export function readTrack(track: Uint8Array): Mp4Sound {
  const table = need(track, "mdia", "minf", "stbl");
  const sizes = readSizes(need(table, "stsz"));
  return { ...readHead(track), ...readTimes(need(table, "stts")), sizes, offsets: readOffsets(table, sizes) };
}

/** What is told of all frames together. */
export function readHead(track: Uint8Array): Pick<Mp4Sound, "description" | "timescale" | "skipUnits"> {
  return {
    description: need(track, "mdia", "minf", "stbl", "stsd"),
    timescale: readTimescale(need(track, "mdia", "mdhd")),
    skipUnits: readSkip(findBox(track, "edts", "elst")),
  };
}

export function need(content: Uint8Array, ...way: string[]): Uint8Array {
  const found = findBox(content, ...way);
  if (!found) throw new NotSegmentable(`The MP4 file has no ${way.join("/")}.`);
  return found;
}

function readTimescale(mdhd: Uint8Array): number {
  return viewOf(mdhd).getUint32(mdhd[0] === 1 ? 20 : 12);
}

function readSizes(stsz: Uint8Array): Uint32Array {
  const view = viewOf(stsz);
  const [same, count] = [view.getUint32(4), view.getUint32(8)];
  if (count === 0 || count > MOST_FRAMES) throw new NotSegmentable(`The MP4 file has ${count} frames.`);
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

/** Returns what the list of edits leaves out at the start: what the encoder put before the song. */
function readSkip(elst: Uint8Array | undefined): number {
  if (!elst) return 0;
  const view = viewOf(elst);
  const long = elst[0] === 1;
  const starts = Array.from({ length: view.getUint32(4) }, (_, edit) =>
    long ? Number(view.getBigInt64(16 + edit * 20)) : view.getInt32(12 + edit * 12),
  ).filter((start) => start >= 0);
  if (starts.length > 1) throw new NotSegmentable("The MP4 file is edited.");
  return starts[0] ?? 0;
}

function readOffsets(table: Uint8Array, sizes: Uint32Array): Float64Array {
  const chunks = readChunks(table);
  const stsc = viewOf(need(table, "stsc"));
  const runs = stsc.getUint32(4);
  const offsets = new Float64Array(sizes.length);
  let frame = 0;
  for (let run = 0; run < runs; run++) {
    const at = 8 + run * 12;
    const stop = run + 1 < runs ? stsc.getUint32(at + 12) - 1 : chunks.length;
    const frames = stsc.getUint32(at + 4);
    for (let chunk = stsc.getUint32(at) - 1; chunk < stop; chunk++) {
      let offset = chunks[chunk] ?? NaN;
      for (let i = 0; i < frames && frame < sizes.length; i++) {
        offsets[frame] = offset;
        offset += sizes[frame++]!;
      }
    }
  }
  if (frame < sizes.length || offsets.some(Number.isNaN)) throw new NotSegmentable("The MP4 file's tables end too early.");
  return offsets;
}

function readChunks(table: Uint8Array): Float64Array {
  const long = findBox(table, "co64");
  const chunks = viewOf(long ?? need(table, "stco"));
  const place = (chunk: number) => (long ? Number(chunks.getBigUint64(8 + chunk * 8)) : chunks.getUint32(8 + chunk * 4));
  return Float64Array.from({ length: chunks.getUint32(4) }, (_, chunk) => place(chunk));
}
