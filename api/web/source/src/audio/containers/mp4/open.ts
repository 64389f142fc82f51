// Cuts MP4 files (M4A, MOV, the sound of films): finds frames by the file's tables, and writes a small MP4 file of those
// that a cut needs.

import { UnsupportedFile, type OpenAudioFile, type ReadRange } from "../audio_file";
import { concat } from "../bytes";
import { box, findBox, walkBoxes, words, wordsOf } from "./boxes";
import { readPriming } from "./priming";
import { findAudioTrack, readTrack, type AudioTrack } from "./sample_tables";

/** Frames to decode before a cut and drop: the transform overlaps by one, and HE-AAC needs several more to settle. */
const LEAD_IN_FRAMES = 16;

/** Larger tables belong to a film of days. */
const MAX_TABLE_BYTES = 1 << 26;

/** Frames with smaller gaps are read at once, including what lies between them. */
const MAX_GAP_BYTES = 1 << 15;

export const openMp4: OpenAudioFile = async (read, size, decodedRate) => {
  const { fileType, moov } = await readTables(read, size);
  // Files that were written while they were recorded have their tables all over the file.
  if (findBox(moov, "mvex")) throw new UnsupportedFile("The MP4 file is fragmented.");
  const track = readTrack(findAudioTrack(moov), size);
  const { timescale, frameUnits, totalUnits, skipUnits, sizes } = track;
  const sampleRate = decodedRate ?? timescale;
  const samplesOf = (units: number) => Math.round((units * sampleRate) / timescale);
  const frameSamples = samplesOf(frameUnits);
  const skip = readPriming(moov) ?? samplesOf(skipUnits);
  if (!(frameSamples > 0)) throw new UnsupportedFile("The MP4 file does not say how long its frames are.");
  return {
    sampleRate,
    totalSamples: samplesOf(totalUnits) - skip,
    async cut(first, stop) {
      const from = Math.max(0, Math.floor((first + skip) / frameSamples) - LEAD_IN_FRAMES);
      const to = Math.min(sizes.length, Math.ceil((stop + skip) / frameSamples) + 1);
      if (to <= from) throw new UnsupportedFile("The MP4 file has fewer frames than its times say.");
      const frames = await readFrames(read, size, track, from, to);
      return { file: writeMp4(fileType, track, sizes.subarray(from, to), frames), skip: first + skip - from * frameSamples };
    },
  };
};

/** Returns the tables, and the box with the file's type: decoders read some boxes differently in each type. */
async function readTables(read: ReadRange, size: number): Promise<{ fileType: Uint8Array; moov: Uint8Array }> {
  let fileType = new Uint8Array(0);
  for await (const place of walkBoxes(read, size)) {
    if (place.end - place.start > MAX_TABLE_BYTES) continue;
    if (place.name === "ftyp") fileType = await read(place.start, place.end);
    if (place.name === "moov") return { fileType, moov: await read(place.contentStart, place.end) };
  }
  throw new UnsupportedFile("The MP4 file has no tables.");
}

/** Returns the bytes of each frame. Across small gaps, as in a film, one read takes several frames. */
async function readFrames(read: ReadRange, fileSize: number, { offsets, sizes }: AudioTrack, from: number, to: number): Promise<Uint8Array[]> {
  const total = sizes.subarray(from, to).reduce((sum, bytes) => sum + bytes, 0);
  // Frames that overlap could make a small file a cut of gigabytes.
  if (total > fileSize) throw new UnsupportedFile("The MP4 file's frames are longer than the file.");
  const runs: { first: number; stop: number }[] = [];
  for (let frame = from; frame < to; frame++) {
    const run = runs.at(-1);
    const gap = run ? offsets[frame]! - (offsets[frame - 1]! + sizes[frame - 1]!) : Infinity;
    if (run && gap >= 0 && gap < MAX_GAP_BYTES) run.stop = frame + 1;
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

function writeMp4(fileType: Uint8Array, track: AudioTrack, sizes: Uint32Array, frames: Uint8Array[]): ArrayBuffer {
  const { description, timescale, frameUnits } = track;
  const units = sizes.length * frameUnits;
  const table = box(
    "stbl",
    box("stsd", description),
    box("stts", words(0, 1, sizes.length, frameUnits)),
    box("stsc", words(0, 1, 1, sizes.length, 1)),
    box("stsz", words(0, 0, sizes.length), wordsOf(sizes)),
    box("stco", words(0, 1, fileType.length + 8)),
  );
  const handler = box("hdlr", words(0, 0), new TextEncoder().encode("soun"), words(0, 0, 0), new Uint8Array(1));
  const media = box(
    "mdia",
    box("mdhd", words(0, 0, 0, timescale, units, 0)),
    handler,
    box("minf", box("smhd", words(0, 0)), box("dinf", box("dref", words(0, 1), box("url ", words(1)))), table),
  );
  const header = box("mvhd", words(0, 0, 0, timescale, units, 0x10000, 0x1000000, 0, 0, ...IDENTITY_MATRIX, 0, 0, 0, 0, 0, 0, 2));
  const trackHeader = box("tkhd", words(3, 0, 0, 1, 0, units, 0, 0, 0, 0x1000000, ...IDENTITY_MATRIX, 0, 0));
  return concat([fileType, box("mdat", ...frames), box("moov", header, box("trak", trackHeader, media))]).buffer;
}

/** The picture transformation that changes nothing; the format wants one for audio too. */
const IDENTITY_MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000];
