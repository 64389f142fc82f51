// Divides a stem into segments of equal length, each of which is decoded by itself. This keeps the memory of a long song
// small and its stems in step to the sample, whatever container they come in.

import { UnsupportedFile, type AudioFile } from "../containers/audio_file";
import { wavFile } from "../containers/wav";

/**
 * The usual length of a segment. Longer ones cost memory and a later start (with 8 s, a hundred megabytes more after a few
 * seeks); shorter ones cost requests.
 */
const SEGMENT_SECONDS = 4;

/** The most memory of a decoded segment: four seconds of stereo. High rates and many channels make segments shorter. */
const MAX_SEGMENT_BYTES = 1.6e6;

/** More samples than the browser's resampler looks at around each sample. */
const RESAMPLER_REACH = 512;

export interface Segments {
  readonly sampleRate: number;
  readonly totalSamples: number;
  /** The samples of every segment but the last. */
  readonly segmentSamples: number;
  decode(index: number): Promise<AudioBuffer>;
}

/** Decodes the samples from `first` up to, not including, `stop`. */
type DecodeStretch = (first: number, stop: number) => Promise<AudioBuffer>;

/** Divides a file into segments at the context's sample rate. */
export function cutIntoSegments(file: AudioFile, context: BaseAudioContext, channels: number): Segments {
  const seconds = Math.floor(MAX_SEGMENT_BYTES / (context.sampleRate * channels * 4));
  const segmentSeconds = Math.max(1, Math.min(SEGMENT_SECONDS, seconds, file.segmentSeconds ?? Infinity));
  const isSameRate = file.sampleRate === context.sampleRate;
  const decodeStretch = isSameRate ? exactDecoder(file, context) : resamplingDecoder(file, context);
  const segmentSamples = segmentSeconds * file.sampleRate;
  return {
    sampleRate: context.sampleRate,
    totalSamples: Math.round((file.totalSamples * context.sampleRate) / file.sampleRate),
    segmentSamples: segmentSeconds * context.sampleRate,
    decode: (index) => decodeStretch(index * segmentSamples, Math.min((index + 1) * segmentSamples, file.totalSamples)),
  };
}

/** Decodes stretches without resampling: `context` has the file's sample rate. */
function exactDecoder(file: AudioFile, context: BaseAudioContext): DecodeStretch {
  return async (first, stop) => {
    const cut = await file.cut(first, stop);
    const decoded = await context.decodeAudioData(cut.file);
    // A decoder that trims or pads cuts would put the stems out of step. Only the end of the song may be missing.
    if (decoded.length < cut.skip + stop - first && stop < file.totalSamples) {
      throw new UnsupportedFile("A cut decoded to fewer samples than it has.");
    }
    return copySamples(context, decoded, cut.skip, stop - first);
  };
}

/**
 * Decodes stretches at the context's sample rate. The browser resamples what it decodes, but always from the first sample of
 * a cut. So stretches are first decoded exactly and then resampled from a position that both rates have in common.
 */
function resamplingDecoder(file: AudioFile, context: BaseAudioContext): DecodeStretch {
  const { sampleRate, totalSamples } = file;
  const decodeExactly = exactDecoder(file, new OfflineAudioContext(1, 1, sampleRate));
  const ratio = context.sampleRate / sampleRate;
  // The samples of both rates coincide once in so many samples.
  const common = sampleRate / greatestCommonDivisor(sampleRate, context.sampleRate);
  const margin = Math.ceil(RESAMPLER_REACH / common) * common;
  return async (first, stop) => {
    const from = Math.max(0, first - margin);
    const around = await decodeExactly(from, Math.min(stop + margin, totalSamples));
    const decoded = await context.decodeAudioData(wavFile(around));
    return copySamples(context, decoded, Math.round((first - from) * ratio), Math.round((stop - first) * ratio));
  };
}

function copySamples(context: BaseAudioContext, decoded: AudioBuffer, skip: number, samples: number): AudioBuffer {
  if (skip === 0 && decoded.length === samples) return decoded;
  const buffer = context.createBuffer(decoded.numberOfChannels, samples, decoded.sampleRate);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.copyToChannel(decoded.getChannelData(channel).subarray(skip, skip + samples), channel);
  }
  return buffer;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
