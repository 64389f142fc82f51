// Cuts raw AAC files (ADTS): a row of frames, each of which says how long it is. The number of frames is written nowhere,
// so the whole file is read once.

import { UnsupportedFile, type OpenAudioFile } from "../audio_file";
import { FrameReader, type FoundFrames } from "./frame_reader";

/** Frames to decode before a cut and drop, for the same reason as in `../mp4/open.ts`. */
const LEAD_IN_FRAMES = 16;

const RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const HEADER_BYTES = 7;

/** Samples per frame at the rate in the header. HE-AAC decodes to twice as many at twice the rate. */
const CORE_SAMPLES = 1024;

export const openAdts: OpenAudioFile = async (read, size, decodedRate) => {
  const head = await read(0, Math.min(size, HEADER_BYTES));
  const coreRate = RATES[((head[2] ?? 0xff) >> 2) & 15] ?? NaN;
  const reader = new FrameReader(read, size, 0, findFrames);
  await reader.indexFrames(Infinity);
  const { frames } = reader;
  const sampleRate = decodedRate ?? coreRate;
  const frameSamples = (CORE_SAMPLES * sampleRate) / coreRate;
  if (!frames.length || !Number.isInteger(frameSamples)) throw new UnsupportedFile("The AAC file's sample rate is unknown.");
  return {
    sampleRate,
    totalSamples: frames.length * frameSamples,
    async cut(first, stop) {
      const from = Math.max(0, Math.floor(first / frameSamples) - LEAD_IN_FRAMES);
      const to = Math.min(frames.length, Math.ceil(stop / frameSamples) + 1);
      return { file: await reader.readFrames(from, to), skip: first - from * frameSamples };
    },
  };
};

function findFrames(bytes: Uint8Array): FoundFrames {
  const frames = [];
  let at = 0;
  while (isAdts(bytes, at)) {
    const length = lengthAt(bytes, at);
    if (!(length >= HEADER_BYTES && at + length <= bytes.length)) break;
    frames.push({ start: at, end: at + length });
    at += length;
  }
  return { frames, next: at };
}

/** Whether a frame header begins here: twelve sync bits, and a layer of 0. */
export function isAdts(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xff && (bytes[at + 1]! & 0xf6) === 0xf0;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
}
