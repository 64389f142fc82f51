// Cuts WAV files: plain samples behind a header, so any part can be read by itself.

import { joined, nameAt, NotSegmentable, viewOf, type Cuttable } from "./cuttable";
import type { ReadRange } from "../playback/ranges";

interface Layout {
  /** The chunk that says what samples are like. */
  format: Uint8Array;
  dataStart: number;
  dataBytes: number;
}

const PLAIN = 1;
const FLOAT = 3;
const HEADER_BYTES = 12;

export async function openWav(read: ReadRange, size: number): Promise<Cuttable> {
  const { format, dataStart, dataBytes } = await readLayout(read, size);
  const frameBytes = viewOf(format).getUint16(12, true);
  const sampleRate = viewOf(format).getUint32(4, true);
  if (!frameBytes || !sampleRate) throw new NotSegmentable("The WAV file's samples are of an unknown kind.");
  return {
    sampleRate,
    totalSamples: Math.floor(dataBytes / frameBytes),
    async piece(first, stop) {
      const data = await read(dataStart + first * frameBytes, dataStart + stop * frameBytes);
      return { file: riff([chunk("fmt ", format), chunk("data", data)]), skip: 0 };
    },
  };
}

async function readLayout(read: ReadRange, size: number): Promise<Layout> {
  let at = HEADER_BYTES;
  let format: Uint8Array | undefined;
  // A file of ours has a handful of chunks; one with hundreds is not worth the requests.
  for (let seen = 0; seen < 20 && at + 8 <= size; seen++) {
    const head = await read(at, Math.min(size, at + 48));
    const name = nameAt(head, 0);
    const length = viewOf(head).getUint32(4, true);
    if (name === "fmt ") format = head.slice(8, 8 + length);
    if (name === "data" && format && format.length >= 16) {
      return { format, dataStart: at + 8, dataBytes: Math.min(length, size - at - 8) };
    }
    at += 8 + length + (length % 2);
  }
  throw new NotSegmentable("The WAV file has no samples where they should be.");
}

/** Returns what begins a WAV file of 16 bits; its samples, with the channels in turn, follow. */
export function wavHeader(samples: number, channels: number, sampleRate: number): ArrayBuffer {
  const bytes = samples * channels * 2;
  const header = new Uint8Array(riff([chunk("fmt ", formatOf(PLAIN, channels, sampleRate, 2)), chunk("data", new Uint8Array())]));
  const view = viewOf(header);
  view.setUint32(4, header.length - 8 + bytes, true);
  view.setUint32(header.length - 4, bytes, true);
  return header.buffer;
}

/** Returns samples as a WAV file of floats. */
export function wavFile(buffer: AudioBuffer): ArrayBuffer {
  const { numberOfChannels: channels, sampleRate, length } = buffer;
  const samples = new Float32Array(length * channels);
  for (let channel = 0; channel < channels; channel++) {
    const one = buffer.getChannelData(channel);
    for (let i = 0; i < length; i++) samples[i * channels + channel] = one[i]!;
  }
  return riff([chunk("fmt ", formatOf(FLOAT, channels, sampleRate, 4)), chunk("data", new Uint8Array(samples.buffer))]);
}

function formatOf(kind: number, channels: number, sampleRate: number, sampleBytes: number): Uint8Array {
  const format = new DataView(new ArrayBuffer(16));
  format.setUint16(0, kind, true);
  format.setUint16(2, channels, true);
  format.setUint32(4, sampleRate, true);
  format.setUint32(8, sampleRate * channels * sampleBytes, true);
  format.setUint16(12, channels * sampleBytes, true);
  format.setUint16(14, 8 * sampleBytes, true);
  return new Uint8Array(format.buffer);
}

function riff(chunks: Uint8Array[]): ArrayBuffer {
  return chunk("RIFF", joined([new TextEncoder().encode("WAVE"), ...chunks])).buffer;
}

function chunk(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(8);
  new TextEncoder().encodeInto(name, head);
  viewOf(head).setUint32(4, content.length, true);
  return joined([head, content, new Uint8Array(content.length % 2)]);
}
