// Cuts FLAC files: finds where frames begin, and gives the browser's decoder a small file made of some of them.

import { NotSegmentable, type Cuttable } from "./cuttable";
import { findFrames } from "./flac_frames";
import type { ReadRange } from "../playback/ranges";

const STREAMINFO_BYTES = 34;

/** What is read at once while looking for a frame: holds several frames of any music. */
const PROBE_BYTES = 1 << 17;

interface StreamInfo {
  raw: Uint8Array;
  blockSamples: number;
  sampleRate: number;
  totalSamples: number;
  firstFrame: number;
}

export async function openFlac(read: ReadRange, size: number): Promise<Cuttable> {
  const info = await readStreamInfo(read, size);
  const { blockSamples, sampleRate, totalSamples } = info;
  const cutter = new Cutter(read, size, info);
  return {
    sampleRate,
    totalSamples,
    async piece(first, stop) {
      const from = Math.floor(first / blockSamples);
      const to = Math.min(Math.ceil(stop / blockSamples), cutter.totalFrames);
      const samples = Math.min(to * blockSamples, totalSamples) - from * blockSamples;
      return { file: smallFile(info, samples, await cutter.frames(from, to)), skip: first - from * blockSamples };
    },
  };
}

/** Knows where frames begin, and learns more with each piece that it reads. */
class Cutter {
  readonly totalFrames: number;
  private readonly starts = new Map<number, number>();

  constructor(
    private readonly read: ReadRange,
    private readonly size: number,
    info: StreamInfo,
  ) {
    this.totalFrames = Math.ceil(info.totalSamples / info.blockSamples);
    this.starts.set(0, info.firstFrame).set(this.totalFrames, size);
  }

  /** Returns the bytes of the frames from `first` up to, not including, `stop`. */
  async frames(first: number, stop: number): Promise<Uint8Array> {
    const [start, end] = [await this.find(first), await this.find(stop)];
    return this.read(start, end);
  }

  /** Returns where a frame begins: by its share of the bytes at first, then ever closer. */
  private async find(frame: number): Promise<number> {
    for (let tries = 0; tries < 12; tries++) {
      const known = this.starts.get(frame);
      if (known !== undefined) return known;
      const [below, above] = this.neighbours(frame);
      const share = (frame - below[0]) / (above[0] - below[0]);
      const guess = below[1] + share * (above[1] - below[1]) - PROBE_BYTES / 2;
      const start = Math.floor(Math.max(below[1], Math.min(guess, above[1] - PROBE_BYTES)));
      await this.learn(start, Math.min(this.size, start + PROBE_BYTES));
    }
    throw new NotSegmentable(`The frame ${frame} was not found.`);
  }

  private async learn(start: number, stop: number): Promise<void> {
    for (const { number, offset } of findFrames(await this.read(start, stop))) {
      if (number < this.totalFrames) this.starts.set(number, start + offset);
    }
  }

  /** Returns the nearest known frames below and above, each as frame and place. */
  private neighbours(frame: number): [[number, number], [number, number]] {
    let below: [number, number] = [0, this.starts.get(0)!];
    let above: [number, number] = [this.totalFrames, this.size];
    for (const entry of this.starts) {
      if (entry[0] <= frame && entry[0] > below[0]) below = entry;
      if (entry[0] > frame && entry[0] < above[0]) above = entry;
    }
    return [below, above];
  }
}

async function readStreamInfo(read: ReadRange, size: number): Promise<StreamInfo> {
  const head = await read(0, Math.min(size, 8 + STREAMINFO_BYTES));
  if (String.fromCharCode(...head.subarray(0, 4)) !== "fLaC") throw new NotSegmentable("The file is no FLAC.");
  const raw = head.slice(8, 8 + STREAMINFO_BYTES);
  const view = new DataView(raw.buffer);
  const blockSamples = view.getUint16(0);
  const totalSamples = (raw[13]! & 15) * 2 ** 32 + view.getUint32(14);
  if (blockSamples !== view.getUint16(2) || totalSamples === 0) {
    throw new NotSegmentable("The FLAC file's blocks are of different sizes, or its length is not told.");
  }
  const sampleRate = (view.getUint16(10) << 4) | (raw[12]! >> 4);
  return { raw, blockSamples, sampleRate, totalSamples, firstFrame: await skipMetadata(read, size) };
}

async function skipMetadata(read: ReadRange, size: number): Promise<number> {
  let block = 4;
  // Tags, padding and a cover; each block tells how long it is.
  for (let seen = 0; seen < 50 && block + 4 < size; seen++) {
    const [kind, high, middle, low] = await read(block, block + 4);
    block += 4 + (high! << 16) + (middle! << 8) + low!;
    if (kind! & 0x80) return block;
  }
  throw new NotSegmentable("The FLAC file's metadata has no end.");
}

function smallFile(info: StreamInfo, samples: number, frames: Uint8Array): ArrayBuffer {
  const file = new Uint8Array(8 + STREAMINFO_BYTES + frames.length);
  file.set([0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, STREAMINFO_BYTES]);
  file.set(info.raw, 8);
  const view = new DataView(file.buffer, 8);
  view.setUint8(13, info.raw[13]! & 0xf0);
  view.setUint32(14, samples);
  // No checksum of the samples: that of the whole stream would not fit.
  file.fill(0, 8 + 18, 8 + STREAMINFO_BYTES);
  file.set(frames, 8 + STREAMINFO_BYTES);
  return file.buffer;
}
