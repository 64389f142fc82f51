// A stem as a row of equally long segments, each decoded by itself: what keeps a long song's memory small and its
// stems aligned to the sample. One module for each format knows how to cut; see `wav.ts`, `flac.ts`, `mp3.ts`.

/** About how long a segment is. Longer ones cost memory and a later start (8 s: a hundred megabytes more after a few seeks); shorter ones cost requests. */
export const SEGMENT_SECONDS = 4;

/** Something to cut into segments turned out to be of another make than expected. */
export class NotSegmentable extends Error {}

export interface Segments {
  readonly sampleRate: number;
  readonly totalSamples: number;
  /** Samples of every segment but the last. */
  readonly segmentSamples: number;
  decode(index: number, context: BaseAudioContext): Promise<AudioBuffer>;
}
