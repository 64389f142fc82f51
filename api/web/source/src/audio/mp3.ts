// Cuts MP3 files: reads the whole file once, which is small, and decodes a few hundred of its frames at a time.
//
// A frame leans on those before it (the bit reservoir, the overlap of its transform), so each cut begins some frames
// early and drops what they decode to. What encoder and decoder add before the music is told by LAME's tag, where there
// is one.

import { NotSegmentable, type Cuttable } from "./cuttable";
import { FrameStore, type Frame } from "./frame_store";
import type { ReadRange } from "./ranges";

/** Frames decoded before a cut and dropped: more than the bit reservoir spans at the lowest bitrates. */
const LEAD_IN_FRAMES = 12;

/** What every decoder adds before the first sample. */
const DECODER_DELAY = 529;

/** How far into a file its first frame is looked for, as ffmpeg does, which decodes for the worker. */
const MOST_JUNK_BYTES = 1 << 16;

/** Where a tag may lie in its frame: behind the side information of mono or stereo, of MPEG 1 or 2. */
const TAG_OFFSETS = [36, 21, 13];
const VBRI_OFFSET = 36;

/** Encoders whose tags ffmpeg and browsers believe; other encoders fill the same bytes with something else. */
const TELLS_DELAY = ["LAME", "Lavf", "Lavc"];

const RATES = [44100, 48000, 32000];
const BITRATES_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const BITRATES_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

interface Header {
  bytes: number;
  samples: number;
  sampleRate: number;
}

interface Index {
  /** Each frame of music. */
  frames: Frame[];
  samplesPerFrame: number;
  sampleRate: number;
  /** Decoded samples before the first and after the last of the music. */
  skip: number;
  totalSamples: number;
}

export async function openMp3(read: ReadRange, size: number): Promise<Cuttable> {
  const file = await read(0, size);
  const { samplesPerFrame, sampleRate, skip, totalSamples, frames } = indexFrames(file);
  const store = new FrameStore(file, frames);
  return {
    sampleRate,
    totalSamples,
    async piece(first, stop) {
      const from = Math.max(0, Math.floor((first + skip) / samplesPerFrame) - LEAD_IN_FRAMES);
      const to = Math.min(frames.length, Math.ceil((stop + skip) / samplesPerFrame) + 1);
      return { file: await store.read(from, to), skip: first + skip - from * samplesPerFrame };
    },
  };
}

function indexFrames(file: Uint8Array<ArrayBuffer>): Index {
  let at = findFrame(file, skipId3(file), MOST_JUNK_BYTES);
  const first = readHeader(file, at);
  if (!first) throw new NotSegmentable("The MP3 file does not begin with a frame.");
  const tag = readTag(file.subarray(at, at + first.bytes));
  if (tag) at += first.bytes;
  const frames: Frame[] = [];
  for (let header = readHeader(file, at); header && at + header.bytes <= file.length; header = readHeader(file, at)) {
    const end = at + header.bytes;
    frames.push({ start: at, end });
    // A tag, or damage, in the midst of the file: what follows is music again, and decoders go on there.
    at = readHeader(file, end) ? end : findFrame(file, end, file.length);
  }
  const decoded = frames.length * first.samples;
  return {
    frames,
    samplesPerFrame: first.samples,
    sampleRate: first.sampleRate,
    skip: tag?.lame ? tag.lame.delay + DECODER_DELAY : 0,
    totalSamples: decoded - (tag?.lame ? tag.lame.delay + tag.lame.padding : 0),
  };
}

/** Returns where the first frame begins that another one follows; the file's end where there is none. */
function findFrame(file: Uint8Array, from: number, within: number): number {
  const stop = Math.min(file.length, from + within);
  for (let at = file.indexOf(0xff, from); at >= 0 && at < stop; at = file.indexOf(0xff, at + 1)) {
    const header = readHeader(file, at);
    if (header && (at + header.bytes === file.length || readHeader(file, at + header.bytes))) return at;
  }
  return file.length;
}

function skipId3(file: Uint8Array): number {
  let at = 0;
  // Some programs put a second tag before the first.
  while (String.fromCharCode(...file.subarray(at, at + 3)) === "ID3") {
    const [flags, a, b, c, d] = file.subarray(at + 5, at + 10);
    if (d === undefined) break;
    const footer = flags! & 0x10 ? 10 : 0;
    at += 10 + (a! << 21) + (b! << 14) + (c! << 7) + d + footer;
  }
  return at;
}

function readHeader(file: Uint8Array, at: number): Header | undefined {
  const [sync, kind, rates] = file.subarray(at, at + 3);
  // Layer III of MPEG 1 (0xfa) or 2 (0xf2), with or without a checksum.
  if (sync !== 0xff || kind === undefined || rates === undefined || (kind & 0xe6) !== 0xe2) return undefined;
  const version = (kind >> 3) & 3;
  if (version < 2) return undefined;
  const bitrate = (version === 3 ? BITRATES_1 : BITRATES_2)[rates >> 4];
  const rate = RATES[(rates >> 2) & 3];
  if (!bitrate || !rate) return undefined;
  const sampleRate = version === 3 ? rate : rate / 2;
  const samples = version === 3 ? 1152 : 576;
  const padding = (rates >> 1) & 1;
  return { bytes: Math.floor((samples / 8) * ((bitrate * 1000) / sampleRate)) + padding, samples, sampleRate };
}

interface Tag {
  /** How many samples the encoder put before and after the music. Not every encoder tells; then none are cut off. */
  lame: { delay: number; padding: number } | null;
}

/** Reads the tag that a frame without music may hold: what decoders skip, and how much of the music they then drop. */
function readTag(frame: Uint8Array): Tag | null {
  const text = (at: number) => String.fromCharCode(...frame.subarray(at, at + 4));
  if (text(VBRI_OFFSET) === "VBRI") return { lame: null };
  const tag = TAG_OFFSETS.find((offset) => ["Xing", "Info"].includes(text(offset)));
  if (tag === undefined) return null;
  const flags = frame[tag + 7] ?? 0;
  const fields = (flags & 1 ? 4 : 0) + (flags & 2 ? 4 : 0) + (flags & 4 ? 100 : 0) + (flags & 8 ? 4 : 0);
  const encoder = tag + 8 + fields;
  const [high, middle, low] = frame.subarray(encoder + 21, encoder + 24);
  if (low === undefined || !TELLS_DELAY.includes(text(encoder))) return { lame: null };
  return { lame: { delay: (high! << 4) | (middle! >> 4), padding: ((middle! & 15) << 8) | low } };
}
