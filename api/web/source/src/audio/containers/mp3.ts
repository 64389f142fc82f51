// Cuts MP3 files: counts frames from the first on, as far as they are wanted, and decodes a few hundred at a time. Where
// no tag tells how many there are, the whole file is read first.
//
// A frame leans on those before it (the bit reservoir, the overlap of its transform), so each cut begins some frames
// early and drops what they decode to. What encoder and decoder add before the music is told by LAME's tag, where there
// is one.

import { nameAt, NotSegmentable, viewOf, type Cuttable } from "./cuttable";
import { FrameReader, type Frame } from "./frame_reader";
import type { ReadRange } from "../playback/ranges";

/** Frames decoded before a cut and dropped: more than the bit reservoir spans at the lowest bitrates. */
const LEAD_IN_FRAMES = 12;

/** What every decoder adds before the first sample. */
const DECODER_DELAY = 529;

/** How far into a file its first frame is looked for, as ffmpeg does, which decodes for the worker. */
const MOST_JUNK_BYTES = 1 << 16;

/** What has to be there to tell whether a frame begins: two of the longest. */
const MARGIN_BYTES = 1 << 12;

/** Tags behind the music are counted by some encoders, by others not. */
const MOST_BEHIND_BYTES = 1 << 12;

const ID3_BYTES = 10;

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

export async function openMp3(read: ReadRange, size: number): Promise<Cuttable> {
  const start = await skipId3(read, size);
  const head = await read(start, Math.min(size, start + MOST_JUNK_BYTES + MARGIN_BYTES));
  const at = findFrame(head, 0, MOST_JUNK_BYTES);
  const first = readHeader(head, at);
  if (!first) throw new NotSegmentable("The MP3 file does not begin with a frame.");
  const tag = readTag(head.subarray(at, at + first.bytes));
  const reader = new FrameReader(read, size, start + at + (tag ? first.bytes : 0), findFrames);
  const { samples: samplesPerFrame, sampleRate } = first;
  const skip = tag?.lame ? tag.lame.delay + DECODER_DELAY : 0;
  const isTold = tag !== null && Math.abs(size - start - at - tag.bytes) < MOST_BEHIND_BYTES;
  if (!isTold) await reader.learn(Infinity);
  const count = isTold ? tag.frames : reader.frames.length;
  const totalSamples = count * samplesPerFrame - (tag?.lame ? tag.lame.delay + tag.lame.padding : 0);
  if (totalSamples <= 0) throw new NotSegmentable("The MP3 file has no music.");
  return {
    sampleRate,
    totalSamples,
    async piece(first, stop) {
      const from = Math.max(0, Math.floor((first + skip) / samplesPerFrame) - LEAD_IN_FRAMES);
      const to = Math.min(count, Math.ceil((stop + skip) / samplesPerFrame) + 1);
      return { file: await reader.bytes(from, to), skip: first + skip - from * samplesPerFrame };
    },
  };
}

function findFrames(bytes: Uint8Array, isLast: boolean): { frames: Frame[]; next: number } {
  const limit = isLast ? bytes.length : bytes.length - MARGIN_BYTES;
  const frames: Frame[] = [];
  let at = 0;
  while (at < limit) {
    const header = readHeader(bytes, at);
    if (header) {
      const end = at + header.bytes;
      if (end > bytes.length) break;
      frames.push({ start: at, end });
      at = end;
    } else {
      // A tag, or damage, in the midst of the file: what follows is music again, and decoders go on there.
      at = Math.min(limit, findFrame(bytes, at, limit - at));
    }
  }
  return { frames, next: at };
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

async function skipId3(read: ReadRange, size: number): Promise<number> {
  let at = 0;
  // Some programs put a second tag before the first.
  for (;;) {
    const head = await read(at, Math.min(size, at + ID3_BYTES));
    const [flags, a, b, c, d] = head.subarray(5);
    if (nameAt(head, 0, 3) !== "ID3" || d === undefined) return at;
    const footer = flags! & 0x10 ? ID3_BYTES : 0;
    const end = at + ID3_BYTES + (a! << 21) + (b! << 14) + (c! << 7) + d + footer;
    if (end >= size) throw new NotSegmentable("The MP3 file's tag has no end.");
    at = end;
  }
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
  /** How many frames follow, and how many bytes there are with the tag's own; 0 where it does not tell. */
  frames: number;
  bytes: number;
  /** How many samples the encoder put before and after the music. Not every encoder tells; then none are cut off. */
  lame: { delay: number; padding: number } | null;
}

/** Reads the tag that a frame without music may hold: what decoders skip, and how much of the music they then drop. */
function readTag(frame: Uint8Array): Tag | null {
  const text = (at: number) => nameAt(frame, at);
  if (text(VBRI_OFFSET) === "VBRI") return { frames: 0, bytes: 0, lame: null };
  const tag = TAG_OFFSETS.find((offset) => ["Xing", "Info"].includes(text(offset)));
  if (tag === undefined) return null;
  const flags = frame[tag + 7] ?? 0;
  let at = tag + 8;
  const next = (flag: number, bytes: number) => (flags & flag ? (at += bytes) - bytes : 0);
  const [framesAt, bytesAt] = [next(1, 4), next(2, 4)];
  next(4, 100);
  next(8, 4);
  const [high, middle, low] = frame.subarray(at + 21, at + 24);
  const isBelieved = low !== undefined && TELLS_DELAY.includes(text(at));
  return {
    frames: framesAt && viewOf(frame).getUint32(framesAt),
    // Both or none: how many frames there are is believed where the bytes are right.
    bytes: framesAt && bytesAt && viewOf(frame).getUint32(bytesAt),
    lame: isBelieved ? { delay: (high! << 4) | (middle! >> 4), padding: ((middle! & 15) << 8) | low } : null,
  };
}
