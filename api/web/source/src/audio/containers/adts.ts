// Cuts AAC files without a container: frames that each say how long they are (ADTS). Reads the whole file once, which is
// small.

import { NotSegmentable, type Cuttable } from "./cuttable";
import { FrameReader, type Frame } from "./frame_reader";
import type { ReadRange } from "../playback/ranges";

/** Frames decoded before a cut and dropped, as in `mp4.ts`. */
const LEAD_IN_FRAMES = 16;

const RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const HEADER_BYTES = 7;

/** Samples of a frame at the rate that its header tells; with HE-AAC it decodes to twice as many at twice the rate. */
const CORE_SAMPLES = 1024;

export async function openAdts(read: ReadRange, size: number, told: number | null): Promise<Cuttable> {
  const head = await read(0, Math.min(size, HEADER_BYTES));
  const coreRate = RATES[(head[2]! >> 2) & 15] ?? NaN;
  const reader = new FrameReader(read, size, 0, findFrames);
  // How many there are, no header tells.
  await reader.learn(Infinity);
  const { frames } = reader;
  const sampleRate = told ?? coreRate;
  const frameSamples = (CORE_SAMPLES * sampleRate) / coreRate;
  if (!frames.length || !Number.isInteger(frameSamples)) throw new NotSegmentable("The AAC file is of an unknown kind.");
  return {
    sampleRate,
    totalSamples: frames.length * frameSamples,
    async piece(first, stop) {
      const from = Math.max(0, Math.floor(first / frameSamples) - LEAD_IN_FRAMES);
      const to = Math.min(frames.length, Math.ceil(stop / frameSamples) + 1);
      return { file: await reader.bytes(from, to), skip: first - from * frameSamples };
    },
  };
}

function findFrames(bytes: Uint8Array): { frames: Frame[]; next: number } {
  const frames: Frame[] = [];
  let at = 0;
  while (isAdts(bytes, at)) {
    const length = lengthAt(bytes, at);
    if (!(length >= HEADER_BYTES && at + length <= bytes.length)) break;
    frames.push({ start: at, end: at + length });
    at += length;
  }
  return { frames, next: at };
}

/** Whether a frame begins here: twelve bits, then the layer, which is 0. */
export function isAdts(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff && (bytes[at + 1]! & 0xf6) === 0xf0;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
}
