// Cuts WAV files: plain samples behind a header, so any part can be read by itself.

import type { ReadRange } from "./ranges";
import { NotSegmentable, SEGMENT_SECONDS, type Segments } from "./segments";

interface Layout {
  float: boolean;
  channels: number;
  sampleRate: number;
  bytesPerSample: number;
  dataStart: number;
  dataBytes: number;
}

const EXTENSIBLE = 0xfffe;
const FLOAT = 3;
const PCM = 1;

export async function openWav(read: ReadRange, size: number): Promise<Segments> {
  const layout = await readLayout(read, size);
  const frameBytes = layout.bytesPerSample * layout.channels;
  const totalSamples = Math.floor(layout.dataBytes / frameBytes);
  const segmentSamples = SEGMENT_SECONDS * layout.sampleRate;
  return {
    sampleRate: layout.sampleRate,
    totalSamples,
    segmentSamples,
    async decode(index, context) {
      const first = index * segmentSamples;
      const count = Math.min(segmentSamples, totalSamples - first);
      const start = layout.dataStart + first * frameBytes;
      const bytes = await read(start, start + count * frameBytes);
      const buffer = context.createBuffer(layout.channels, count, layout.sampleRate);
      fill(buffer, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), layout);
      return buffer;
    },
  };
}

async function readLayout(read: ReadRange, size: number): Promise<Layout> {
  let chunk = 12;
  let format: Omit<Layout, "dataStart" | "dataBytes"> | undefined;
  // A file of ours has a handful of chunks; one with hundreds is not worth the requests.
  for (let seen = 0; seen < 20 && chunk + 8 <= size; seen++) {
    const head = await read(chunk, Math.min(size, chunk + 48));
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    const name = String.fromCharCode(...head.subarray(0, 4));
    const length = view.getUint32(4, true);
    if (name === "fmt ") format = readFormat(view);
    if (name === "data" && format) {
      return { ...format, dataStart: chunk + 8, dataBytes: Math.min(length, size - chunk - 8) };
    }
    chunk += 8 + length + (length % 2);
  }
  throw new NotSegmentable("The WAV file has no samples where they should be.");
}

function readFormat(view: DataView): Omit<Layout, "dataStart" | "dataBytes"> {
  let code = view.getUint16(8, true);
  if (code === EXTENSIBLE) code = view.getUint16(32, true);
  const bits = view.getUint16(22, true);
  const known = (code === PCM && [16, 24, 32].includes(bits)) || (code === FLOAT && bits === 32);
  if (!known) throw new NotSegmentable("The WAV file's samples are of an unknown kind.");
  return {
    float: code === FLOAT,
    channels: view.getUint16(10, true),
    sampleRate: view.getUint32(12, true),
    bytesPerSample: bits / 8,
  };
}

function fill(buffer: AudioBuffer, view: DataView, layout: Layout): void {
  const { bytesPerSample, channels } = layout;
  const read = sampleReader(view, layout);
  for (let channel = 0; channel < channels; channel++) {
    const samples = buffer.getChannelData(channel);
    let at = channel * bytesPerSample;
    for (let i = 0; i < samples.length; i++, at += bytesPerSample * channels) samples[i] = read(at);
  }
}

function sampleReader(view: DataView, { float, bytesPerSample }: Layout): (at: number) => number {
  if (float) return (at) => view.getFloat32(at, true);
  if (bytesPerSample === 2) return (at) => view.getInt16(at, true) / 0x8000;
  if (bytesPerSample === 3) return (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 0x10000) / 0x800000;
  return (at) => view.getInt32(at, true) / 0x80000000;
}
