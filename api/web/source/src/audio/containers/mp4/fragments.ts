// Reads where the frames are in fragmented MP4 files, which are written while they are recorded or streamed: each fragment
// has tables of its own.

import { UnsupportedFile, type ReadRange } from "../audio_file";
import { viewOf } from "../bytes";
import { boxesIn, findBox, walkBoxes } from "./boxes";
import { findAudioTrack, readTrackHeader, requireBox, type AudioTrack } from "./sample_tables";

/** The tables are all over the file, so it is read whole. A larger file is a film, which is not worth the bytes. */
const MAX_FILE_BYTES = 1 << 26;

// Flags of the boxes `tfhd` and `trun` that say which fields are present.
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

/** Reads the tables of all fragments. */
export async function readFragments(read: ReadRange, size: number, moov: Uint8Array): Promise<AudioTrack> {
  if (size > MAX_FILE_BYTES) throw new UnsupportedFile("The fragmented MP4 file is too long to be read whole.");
  const file = await read(0, size);
  const track = findAudioTrack(moov);
  const header = requireBox(track, "tkhd");
  const id = viewOf(header).getUint32(header[0] === 1 ? 20 : 12);
  const defaults = readDefaults(requireBox(moov, "mvex"), id);
  const frames: Frame[] = [];
  for await (const place of walkBoxes(async (start, stop) => file.slice(start, stop), size)) {
    if (place.name !== "moof") continue;
    for (const { name, content } of boxesIn(file.subarray(place.contentStart, place.end))) {
      if (name === "traf") readFragment(content, id, place.start, defaults, frames, size);
    }
  }
  if (!frames[0]) throw new UnsupportedFile("The MP4 file's fragments have no audio.");
  return {
    ...readTrackHeader(track),
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

/** Adds one track's frames in one fragment, which begins at `fragment` in a file of `size` bytes. */
function readFragment(traf: Uint8Array, id: number, fragment: number, defaults: Defaults, frames: Frame[], size: number): void {
  const header = viewOf(requireBox(traf, "tfhd"));
  if (header.getUint32(4) !== id) return;
  const flags = header.getUint32(0);
  let at = 8;
  const fieldAt = (flag: number, bytes: number) => (flags & flag ? (at += bytes) - bytes : -1);
  const baseAt = fieldAt(HAS_BASE, 8);
  fieldAt(HAS_DESCRIPTION, 4);
  const unitsAt = fieldAt(HAS_DURATION, 4);
  const bytesAt = fieldAt(HAS_SIZE, 4);
  const base = baseAt < 0 ? fragment : Number(header.getBigUint64(baseAt));
  const own = {
    units: unitsAt < 0 ? defaults.units : header.getUint32(unitsAt),
    bytes: bytesAt < 0 ? defaults.bytes : header.getUint32(bytesAt),
  };
  let next = base;
  for (const { name, content } of boxesIn(traf)) {
    if (name === "trun") next = readRun(viewOf(content), base, next, own, frames, size);
  }
}

/** Adds the frames of one run; returns where the next run begins unless it says otherwise. */
function readRun(run: DataView, base: number, next: number, defaults: Defaults, frames: Frame[], size: number): number {
  const flags = run.getUint32(0);
  const hasOffset = flags & HAS_OFFSET;
  let offset = hasOffset ? base + run.getInt32(8) : next;
  const table = 8 + (hasOffset ? 4 : 0) + (flags & HAS_FIRST_FLAGS ? 4 : 0);
  const rowBytes = EACH_HAS.filter((flag) => flags & flag).length * 4;
  for (let row = 0; row < run.getUint32(4); row++) {
    let at = table + row * rowBytes;
    const frame = { offset, ...defaults };
    if (flags & EACH_HAS_DURATION) frame.units = run.getUint32((at += 4) - 4);
    if (flags & EACH_HAS_SIZE) frame.bytes = run.getUint32(at);
    offset += frame.bytes;
    // A run without a table could claim four thousand million frames.
    if (frame.bytes === 0 || offset > size || frames.length >= size) throw new UnsupportedFile("The MP4 file's fragments are damaged.");
    frames.push(frame);
  }
  return offset;
}
