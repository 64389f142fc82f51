// Cuts FLAC files: finds frames by their numbers, and writes a small FLAC file of those that a cut needs.

import { UnsupportedFile, type OpenAudioFile, type ReadRange } from "./audio_file";
import { textAt, viewOf } from "./bytes";
import { findFlacFrames } from "./flac_frames";

const STREAMINFO_BYTES = 34;

/** The smallest block that FLAC allows, except for a stream's last. */
const MIN_BLOCK_SAMPLES = 16;

const MAX_METADATA_BLOCKS = 50;

/** How much to read when searching for a frame: several frames of any music. */
const PROBE_BYTES = 1 << 17;
const MAX_PROBES = 12;

interface StreamInfo {
  raw: Uint8Array;
  blockSamples: number;
  sampleRate: number;
  totalSamples: number;
  firstFrame: number;
}

export const openFlac: OpenAudioFile = async (read, size) => {
  const info = await readStreamInfo(read, size);
  const { blockSamples, sampleRate, totalSamples } = info;
  const index = new FrameIndex(read, size, info);
  return {
    sampleRate,
    totalSamples,
    async cut(first, stop) {
      const from = Math.floor(first / blockSamples);
      const to = Math.min(Math.ceil(stop / blockSamples), index.totalFrames);
      const samples = Math.min(to * blockSamples, totalSamples) - from * blockSamples;
      return { file: writeFlac(info, samples, await index.readFrames(from, to)), skip: first - from * blockSamples };
    },
  };
};

/** Knows where frames begin, and learns more with each part of the file that it reads. */
class FrameIndex {
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
  async readFrames(first: number, stop: number): Promise<Uint8Array> {
    const [start, end] = [await this.findFrame(first), await this.findFrame(stop)];
    return this.read(start, end);
  }

  /** Returns where a frame begins. The first guess is by its share of the bytes; each probe narrows the range. */
  private async findFrame(frame: number): Promise<number> {
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      const known = this.starts.get(frame);
      if (known !== undefined) return known;
      const [below, above] = this.knownNeighbours(frame);
      const share = (frame - below[0]) / (above[0] - below[0]);
      const guess = below[1] + share * (above[1] - below[1]) - PROBE_BYTES / 2;
      const start = Math.floor(Math.max(below[1], Math.min(guess, above[1] - PROBE_BYTES)));
      await this.indexFrames(start, Math.min(this.size, start + PROBE_BYTES));
    }
    throw new UnsupportedFile(`The frame ${frame} of the FLAC file was not found.`);
  }

  private async indexFrames(start: number, stop: number): Promise<void> {
    for (const { number, offset } of findFlacFrames(await this.read(start, stop))) {
      if (number < this.totalFrames) this.starts.set(number, start + offset);
    }
  }

  /** Returns the nearest known frames below and above, each as its number and its place. */
  private knownNeighbours(frame: number): [[number, number], [number, number]] {
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
  if (textAt(head, 0) !== "fLaC") throw new UnsupportedFile("The file is not FLAC.");
  const raw = head.slice(8, 8 + STREAMINFO_BYTES);
  const view = viewOf(raw);
  const blockSamples = view.getUint16(0);
  const totalSamples = (view.getUint8(13) & 15) * 2 ** 32 + view.getUint32(14);
  if (blockSamples !== view.getUint16(2) || blockSamples < MIN_BLOCK_SAMPLES || totalSamples === 0) {
    throw new UnsupportedFile("The FLAC file's block size varies, or its length is not given.");
  }
  const sampleRate = (view.getUint16(10) << 4) | (view.getUint8(12) >> 4);
  return { raw, blockSamples, sampleRate, totalSamples, firstFrame: await skipMetadata(read, size) };
}

async function skipMetadata(read: ReadRange, size: number): Promise<number> {
  let block = 4;
  // Tags, padding and a cover; each block says how long it is.
  for (let seen = 0; seen < MAX_METADATA_BLOCKS && block + 4 < size; seen++) {
    const [kind, high, middle, low] = await read(block, block + 4);
    block += 4 + (high! << 16) + (middle! << 8) + low!;
    if (kind! & 0x80) return block;
  }
  throw new UnsupportedFile("The FLAC file's metadata does not end.");
}

function writeFlac(info: StreamInfo, samples: number, frames: Uint8Array): ArrayBuffer {
  const file = new Uint8Array(8 + STREAMINFO_BYTES + frames.length);
  file.set([0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, STREAMINFO_BYTES]);
  file.set(info.raw, 8);
  const view = new DataView(file.buffer, 8);
  view.setUint8(13, info.raw[13]! & 0xf0);
  view.setUint32(14, samples);
  // The checksum of the whole stream's samples would not match those of a cut. Zeros mean that there is none.
  file.fill(0, 8 + 18, 8 + STREAMINFO_BYTES);
  file.set(frames, 8 + STREAMINFO_BYTES);
  return file.buffer;
}
