// Where the frames are in MP4 files that were written as they were recorded or streamed: each fragment has tables of
// its own, all of which are read first.

import { NotSegmentable, viewOf } from "./cuttable";
import { boxesIn, findBox, walk } from "./mp4_boxes";
import { need, readHead, soundTrack, type Mp4Sound } from "./mp4_samples";
import type { ReadRange } from "../playback/ranges";

/** Tables are strewn all over the file; it is read whole, and more is a film, which is not worth the bytes. */
const MOST_BYTES = 1 << 26;

// What the flags of the boxes `tfhd` and `trun` say is there.
const HAS_BASE = 1;
const HAS_DESCRIPTION = 2;
const HAS_DURATION = 8;
const HAS_SIZE = 16;
const HAS_OFFSET = 1;
const HAS_FIRST_FLAGS = 4;
const EACH_HAS_DURATION = 0x100;
const EACH_HAS_SIZE = 0x200;
const EACH_HAS = [EACH_HAS_DURATION, EACH_HAS_SIZE, 0x400, 0x800];

interface Defaults {
  units: number;
  bytes: number;
}

interface Frame {
  offset: number;
  bytes: number;
  units: number;
}

export function isFragmented(moov: Uint8Array): boolean {
  return findBox(moov, "mvex") !== undefined;
}

export async function readFragments(read: ReadRange, size: number, moov: Uint8Array): Promise<Mp4Sound> {
  if (size > MOST_BYTES) throw new NotSegmentable("The file is long, and its tables are strewn all over it.");
  const file = await read(0, size);
  const track = soundTrack(moov);
  const header = need(track, "tkhd");
  const id = viewOf(header).getUint32(header[0] === 1 ? 20 : 12);
  const defaults = readDefaults(need(moov, "mvex"), id);
  const frames: Frame[] = [];
  for await (const place of walk((start, stop) => Promise.resolve(file.slice(start, stop)), size)) {
    if (place.name !== "moof") continue;
    for (const { name, content } of boxesIn(file.subarray(place.contentStart, place.end))) {
      if (name === "traf") frames.push(...framesOf(content, id, place.start, defaults));
    }
  }
  if (!frames[0]) throw new NotSegmentable("The MP4 file's fragments have no sound.");
  return {
    ...readHead(track),
    frameUnits: frames[0].units,
    totalUnits: frames.reduce((sum, frame) => sum + frame.units, 0),
    sizes: Uint32Array.from(frames, (frame) => frame.bytes),
    offsets: Float64Array.from(frames, (frame) => frame.offset),
  };
}

function readDefaults(mvex: Uint8Array, id: number): Defaults {
  const own = boxesIn(mvex).find(({ name, content }) => name === "trex" && viewOf(content).getUint32(4) === id);
  const view = viewOf(own?.content ?? new Uint8Array(24));
  return { units: view.getUint32(12), bytes: view.getUint32(16) };
}

/** Returns the frames of one track in one fragment, which begins at `fragment` in the file. */
function framesOf(traf: Uint8Array, id: number, fragment: number, defaults: Defaults): Frame[] {
  const header = viewOf(need(traf, "tfhd"));
  if (header.getUint32(4) !== id) return [];
  const flags = header.getUint32(0);
  let at = 8;
  const next = (flag: number, bytes: number) => (flags & flag ? (at += bytes) - bytes : -1);
  const baseAt = next(HAS_BASE, 8);
  next(HAS_DESCRIPTION, 4);
  const unitsAt = next(HAS_DURATION, 4);
  const bytesAt = next(HAS_SIZE, 4);
  const base = baseAt < 0 ? fragment : Number(header.getBigUint64(baseAt));
  const own = {
    units: unitsAt < 0 ? defaults.units : header.getUint32(unitsAt),
    bytes: bytesAt < 0 ? defaults.bytes : header.getUint32(bytesAt),
  };
  const frames: Frame[] = [];
  for (const { name, content } of boxesIn(traf)) {
    if (name !== "trun") continue;
    const last = frames.at(-1);
    frames.push(...framesOfRun(viewOf(content), base, last ? last.offset + last.bytes : base, own));
  }
  return frames;
}

function framesOfRun(run: DataView, base: number, goesOn: number, { units, bytes }: Defaults): Frame[] {
  const flags = run.getUint32(0);
  const hasOffset = flags & HAS_OFFSET;
  let offset = hasOffset ? base + run.getInt32(8) : goesOn;
  const table = 8 + (hasOffset ? 4 : 0) + (flags & HAS_FIRST_FLAGS ? 4 : 0);
  const rowBytes = EACH_HAS.filter((flag) => flags & flag).length * 4;
  return Array.from({ length: run.getUint32(4) }, (_, row) => {
    let at = table + row * rowBytes;
    const frame = { offset, bytes, units };
    if (flags & EACH_HAS_DURATION) frame.units = run.getUint32((at += 4) - 4);
    if (flags & EACH_HAS_SIZE) frame.bytes = run.getUint32(at);
    offset += frame.bytes;
    return frame;
  });
}
