// Cuts MP4 files (M4A, MOV, the sound of films): finds frames by the file's tables, and gives the browser's decoder a
// small file with tables of its own.

import { joined, NotSegmentable, type Cuttable } from "./cuttable";
import { box, walk, words } from "./mp4_boxes";
import { isFragmented, readFragments } from "./mp4_fragments";
import { readPriming } from "./mp4_gapless";
import { readTrack, soundTrack, type Mp4Sound } from "./mp4_samples";
import type { ReadRange } from "../playback/ranges";

/** Frames decoded before a cut and dropped: transforms overlap by one; what HE-AAC adds on top comes back after several. */
const LEAD_IN_FRAMES = 16;

/** Tables longer than this are of a film of days. */
const MOST_TABLE_BYTES = 1 << 26;

/** Frames that lie closer together are read at once, with whatever is between them. */
const MOST_GAP_BYTES = 1 << 15;

export async function openMp4(read: ReadRange, size: number, told: number | null): Promise<Cuttable> {
  const { start, moov } = await readTables(read, size);
  const sound = isFragmented(moov) ? await readFragments(read, size, moov) : readTrack(soundTrack(moov));
  const { timescale, frameUnits, totalUnits, skipUnits, sizes } = sound;
  const sampleRate = told ?? timescale;
  const samplesOf = (units: number) => Math.round((units * sampleRate) / timescale);
  const frameSamples = samplesOf(frameUnits);
  const skip = readPriming(moov) ?? samplesOf(skipUnits);
  if (!(frameSamples > 0)) throw new NotSegmentable("The MP4 file does not tell how long its frames are.");
  return {
    sampleRate,
    totalSamples: samplesOf(totalUnits) - skip,
    async piece(first, stop) {
      const from = Math.max(0, Math.floor((first + skip) / frameSamples) - LEAD_IN_FRAMES);
      const to = Math.min(sizes.length, Math.ceil((stop + skip) / frameSamples) + 1);
      const frames = await readFrames(read, sound, from, to);
      return { file: smallFile(start, sound, sizes.subarray(from, to), frames), skip: first + skip - from * frameSamples };
    },
  };
}

/** Returns the file's tables, and how it begins: decoders read some boxes differently in each kind of file. */
async function readTables(read: ReadRange, size: number): Promise<{ start: Uint8Array; moov: Uint8Array }> {
  let start = new Uint8Array(0);
  for await (const place of walk(read, size)) {
    if (place.end - place.start > MOST_TABLE_BYTES) continue;
    if (place.name === "ftyp") start = await read(place.start, place.end);
    if (place.name === "moov") return { start, moov: await read(place.contentStart, place.end) };
  }
  throw new NotSegmentable("The MP4 file has no tables.");
}

/** Returns the bytes of some frames; what lies between them in a film is read where that is quicker, and dropped. */
async function readFrames(read: ReadRange, { offsets, sizes }: Mp4Sound, from: number, to: number): Promise<Uint8Array[]> {
  const runs: { first: number; stop: number }[] = [];
  for (let frame = from; frame < to; frame++) {
    const run = runs.at(-1);
    const gap = run ? offsets[frame]! - (offsets[frame - 1]! + sizes[frame - 1]!) : Infinity;
    if (run && gap >= 0 && gap < MOST_GAP_BYTES) run.stop = frame + 1;
    else runs.push({ first: frame, stop: frame + 1 });
  }
  const frames = runs.map(async ({ first, stop }) => {
    const start = offsets[first]!;
    const bytes = await read(start, offsets[stop - 1]! + sizes[stop - 1]!);
    return Array.from({ length: stop - first }, (_, i) => {
      const at = offsets[first + i]! - start;
      return bytes.subarray(at, at + sizes[first + i]!);
    });
  });
  return (await Promise.all(frames)).flat();
}

function smallFile(start: Uint8Array, sound: Mp4Sound, sizes: Uint32Array, frames: Uint8Array[]): ArrayBuffer {
  const { description, timescale, frameUnits } = sound;
  const units = sizes.length * frameUnits;
  const table = box(
    "stbl",
    box("stsd", description),
    box("stts", words(0, 1, sizes.length, frameUnits)),
    box("stsc", words(0, 1, 1, sizes.length, 1)),
    box("stsz", words(0, 0, sizes.length, ...sizes)),
    box("stco", words(0, 1, start.length + 8)),
  );
  const handler = box("hdlr", words(0, 0), new TextEncoder().encode("soun"), words(0, 0, 0), new Uint8Array(1));
  const media = box(
    "mdia",
    box("mdhd", words(0, 0, 0, timescale, units, 0)),
    handler,
    box("minf", box("smhd", words(0, 0)), box("dinf", box("dref", words(0, 1), box("url ", words(1)))), table),
  );
  const header = box("mvhd", words(0, 0, 0, timescale, units, 0x10000, 0x1000000, 0, 0, ...UNTURNED, 0, 0, 0, 0, 0, 0, 2));
  const track = box("trak", box("tkhd", words(3, 0, 0, 1, 0, units, 0, 0, 0, 0x1000000, ...UNTURNED, 0, 0)), media);
  return joined([start, box("mdat", ...frames), box("moov", header, track)]).buffer;
}

/** The matrix that turns no picture. */
const UNTURNED = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];
