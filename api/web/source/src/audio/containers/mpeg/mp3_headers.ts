// Parses MP3 frame headers and the tags that encoders write into a first frame without music (Xing, Info, VBRI).

import { textAt, viewOf } from "../bytes";

/** Where a tag may begin in its frame: behind the side information, whose length depends on version and channels. */
const TAG_OFFSETS = [36, 21, 13];
const VBRI_OFFSET = 36;

/** Encoders whose delays ffmpeg and browsers trust; others write something else into the same bytes. */
const TRUSTED_ENCODERS = ["LAME", "Lavf", "Lavc"];

const RATES = [44100, 48000, 32000];
const BITRATES_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const BITRATES_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/** A frame of 8 kbit/s at 24 kHz. */
export const MIN_FRAME_BYTES = 24;

export interface FrameHeader {
  /** The length of the whole frame. */
  bytes: number;
  samples: number;
  sampleRate: number;
}

/** Parses the frame header that begins here; returns undefined if none does. */
export function parseFrameHeader(bytes: Uint8Array, at: number): FrameHeader | undefined {
  const [sync, kind, rates] = bytes.subarray(at, at + 3);
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

/** Returns where the first frame begins that is followed by another one; the end of `bytes` if there is none. */
export function findFrameAt(bytes: Uint8Array, from: number, within: number): number {
  const stop = Math.min(bytes.length, from + within);
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at < stop; at = bytes.indexOf(0xff, at + 1)) {
    const header = parseFrameHeader(bytes, at);
    if (header && (at + header.bytes === bytes.length || parseFrameHeader(bytes, at + header.bytes))) return at;
  }
  return bytes.length;
}

export interface EncoderTag {
  /** Whether all frames have the same bitrate, according to the encoder. */
  isConstant: boolean;
  /** How many frames follow, and how many bytes there are including the tag; 0 if the tag does not say. */
  frames: number;
  bytes: number;
  /** How many samples the encoder added before and after the music; null if the tag does not say. */
  lame: { delay: number; padding: number } | null;
}

/** Reads the tag from the bytes of a first frame; returns null if there is none. */
export function readEncoderTag(frame: Uint8Array): EncoderTag | null {
  if (textAt(frame, VBRI_OFFSET) === "VBRI") return { isConstant: false, frames: 0, bytes: 0, lame: null };
  const tag = TAG_OFFSETS.find((offset) => ["Xing", "Info"].includes(textAt(frame, offset)));
  if (tag === undefined) return null;
  const flags = frame[tag + 7] ?? 0;
  let at = tag + 8;
  const fieldAt = (flag: number, bytes: number) => (flags & flag ? (at += bytes) - bytes : 0);
  const [framesAt, bytesAt] = [fieldAt(1, 4), fieldAt(2, 4)];
  fieldAt(4, 100);
  fieldAt(8, 4);
  const [high, middle, low] = frame.subarray(at + 21, at + 24);
  const isTrusted = low !== undefined && TRUSTED_ENCODERS.includes(textAt(frame, at));
  return {
    isConstant: textAt(frame, tag) === "Info",
    frames: framesAt && viewOf(frame).getUint32(framesAt),
    bytes: framesAt && bytesAt && viewOf(frame).getUint32(bytesAt),
    lame: isTrusted ? { delay: (high! << 4) | (middle! >> 4), padding: ((middle! & 15) << 8) | low } : null,
  };
}
