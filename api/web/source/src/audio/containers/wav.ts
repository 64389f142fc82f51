// Cuts WAV files, in which any samples can be read directly; also writes them.

import { UnsupportedFile, type OpenAudioFile, type ReadRange } from "./audio_file";
import { concat, textAt, viewOf } from "./bytes";

interface Layout {
  /** The content of the chunk `fmt `, which describes the samples. */
  format: Uint8Array;
  dataStart: number;
  dataBytes: number;
}

const PCM = 1;
const FLOAT = 3;
const HEADER_BYTES = 12;
const MIN_FORMAT_BYTES = 16;

/** A file with more chunks before its samples is not worth the requests. */
const MAX_CHUNKS = 20;

export const openWav: OpenAudioFile = async (read, size) => {
  const { format, dataStart, dataBytes } = await readLayout(read, size);
  const frameBytes = viewOf(format).getUint16(12, true);
  if (!frameBytes) throw new UnsupportedFile("The WAV file does not say how large its samples are.");
  return {
    sampleRate: viewOf(format).getUint32(4, true),
    totalSamples: Math.floor(dataBytes / frameBytes),
    async cut(first, stop) {
      const data = await read(dataStart + first * frameBytes, dataStart + stop * frameBytes);
      return { file: riff([chunk("fmt ", format), chunk("data", data)]), skip: 0 };
    },
  };
};

async function readLayout(read: ReadRange, size: number): Promise<Layout> {
  let at = HEADER_BYTES;
  let format: Uint8Array | undefined;
  for (let seen = 0; seen < MAX_CHUNKS && at + 8 <= size; seen++) {
    const head = await read(at, Math.min(size, at + 48));
    const name = textAt(head, 0);
    const length = viewOf(head).getUint32(4, true);
    if (name === "fmt ") format = head.slice(8, 8 + length);
    if (name === "data" && format && format.length >= MIN_FORMAT_BYTES) {
      return { format, dataStart: at + 8, dataBytes: Math.min(length, size - at - 8) };
    }
    at += 8 + length + (length % 2);
  }
  throw new UnsupportedFile("The WAV file has no samples where they should be.");
}

/** Returns the header of a WAV file with 16-bit samples, which must follow, interleaved by channel. */
export function wavHeader(samples: number, channels: number, sampleRate: number): ArrayBuffer {
  const bytes = samples * channels * 2;
  const header = new Uint8Array(riff([chunk("fmt ", formatOf(PCM, channels, sampleRate, 2)), chunk("data", new Uint8Array())]));
  const view = viewOf(header);
  view.setUint32(4, header.length - 8 + bytes, true);
  view.setUint32(header.length - 4, bytes, true);
  return header.buffer;
}

/** Returns a WAV file of float samples. */
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
  return chunk("RIFF", concat([new TextEncoder().encode("WAVE"), ...chunks])).buffer;
}

function chunk(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(8);
  new TextEncoder().encodeInto(name, head);
  viewOf(head).setUint32(4, content.length, true);
  return concat([head, content, new Uint8Array(content.length % 2)]);
}
