// A stem as a row of equally long segments, each decoded by itself: what keeps a long song's memory small and its
// stems aligned to the sample, whatever container they come in.

import { NotSegmentable, type Cuttable } from "../containers/cuttable";
import { wavFile } from "../containers/wav";

/** About how long a segment is. Longer ones cost memory and a later start (8 s: a hundred megabytes more after a few seeks); shorter ones cost requests. */
const SEGMENT_SECONDS = 4;

/** The most that a segment takes: four seconds of stereo. High rates and many channels make it shorter. */
const SEGMENT_BYTES = 1.6e6;

/** What the browser's resampler looks at around a sample, and more. */
const RESAMPLING_SAMPLES = 512;

export interface Segments {
  readonly sampleRate: number;
  readonly totalSamples: number;
  /** Samples of every segment but the last. */
  readonly segmentSamples: number;
  decode(index: number): Promise<AudioBuffer>;
}

/** Cuts a file into segments at the context's rate. */
export function segmentsOf(source: Cuttable, context: BaseAudioContext, channels: number): Segments {
  const seconds = Math.floor(SEGMENT_BYTES / (context.sampleRate * channels * 4));
  const segmentSeconds = Math.max(1, Math.min(SEGMENT_SECONDS, seconds));
  const same = source.sampleRate === context.sampleRate;
  const stretch = same ? exactly(source, context) : resampled(source, context);
  const segmentSamples = segmentSeconds * source.sampleRate;
  return {
    sampleRate: context.sampleRate,
    totalSamples: Math.round((source.totalSamples * context.sampleRate) / source.sampleRate),
    segmentSamples: segmentSeconds * context.sampleRate,
    decode: (index) => stretch(index * segmentSamples, Math.min((index + 1) * segmentSamples, source.totalSamples)),
  };
}

/** Returns a stretch's samples as they are. `context` has the source's rate: decoding changes nothing. */
function exactly(source: Cuttable, context: BaseAudioContext): (first: number, stop: number) => Promise<AudioBuffer> {
  return async (first, stop) => {
    const { file, skip } = await source.piece(first, stop);
    const decoded = await context.decodeAudioData(file);
    // A decoder that trims or pads cuts by itself would put the stems out of step; only the song's end may be silent.
    if (decoded.length < skip + stop - first && stop < source.totalSamples) {
      throw new NotSegmentable("A cut decoded to fewer samples than it has.");
    }
    return cutOut(context, decoded, skip, stop - first);
  };
}

/**
 * Returns a stretch's samples at the context's rate. The browser resamples what it decodes, but from a piece's first
 * sample on, wherever that is: so pieces are cut exactly, then given to it from a full second on.
 */
function resampled(source: Cuttable, context: BaseAudioContext): (first: number, stop: number) => Promise<AudioBuffer> {
  const { sampleRate, totalSamples } = source;
  const read = exactly(source, new OfflineAudioContext(1, 1, sampleRate));
  const ratio = context.sampleRate / sampleRate;
  // After so many samples both rates' samples coincide.
  const common = sampleRate / greatestCommonDivisor(sampleRate, context.sampleRate);
  const margin = Math.ceil(RESAMPLING_SAMPLES / common) * common;
  return async (first, stop) => {
    const from = Math.max(0, first - margin);
    const around = await read(from, Math.min(stop + margin, totalSamples));
    const decoded = await context.decodeAudioData(wavFile(around));
    return cutOut(context, decoded, Math.round((first - from) * ratio), Math.round((stop - first) * ratio));
  };
}

function cutOut(context: BaseAudioContext, decoded: AudioBuffer, skip: number, samples: number): AudioBuffer {
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
