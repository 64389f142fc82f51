// Mixes stems down to a WAV file, four seconds at a time. Finished parts go into a Blob, which browsers store outside of the
// page's memory.

import type { Segments } from "./segments";
import { wavHeader } from "../containers/wav";

export interface Part {
  segments: Segments;
  gain: number;
}

const FULL_SCALE = 32_768;

/** Returns a 16-bit WAV file. The parts are stems of one job, so they have the same length and the same segments. */
export async function mixDown(parts: readonly Part[], onProgress: (share: number) => void, signal: AbortSignal): Promise<Blob> {
  const { segmentSamples, totalSamples, sampleRate } = parts[0]!.segments;
  const pieces: Blob[] = [];
  let channels = 1;
  for (let first = 0; first < totalSamples; first += segmentSamples) {
    const decoded = await Promise.all(parts.map(({ segments }) => segments.decode(first / segmentSamples)));
    signal.throwIfAborted();
    channels = Math.max(channels, ...decoded.map((buffer) => buffer.numberOfChannels));
    const samples = Math.min(segmentSamples, totalSamples - first);
    pieces.push(new Blob([mixSegment(decoded, parts, samples, channels)]));
    onProgress((first + samples) / totalSamples);
  }
  return new Blob([wavHeader(totalSamples, channels, sampleRate), ...pieces], { type: "audio/wav" });
}

function mixSegment(decoded: readonly AudioBuffer[], parts: readonly Part[], samples: number, channels: number): Int16Array<ArrayBuffer> {
  const pcm = new Int16Array(samples * channels);
  for (let channel = 0; channel < channels; channel++) {
    const sum = new Float32Array(samples);
    decoded.forEach((buffer, place) => {
      const gain = parts[place]!.gain;
      const one = buffer.getChannelData(Math.min(channel, buffer.numberOfChannels - 1)).subarray(0, samples);
      one.forEach((sample, i) => (sum[i]! += gain * sample));
    });
    sum.forEach((sample, i) => {
      // Dither, so that quiet fades do not crackle.
      const level = Math.round(sample * FULL_SCALE + Math.random() - Math.random());
      pcm[i * channels + channel] = Math.max(-FULL_SCALE, Math.min(level, FULL_SCALE - 1));
    });
  }
  return pcm;
}
