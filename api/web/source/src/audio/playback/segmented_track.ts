// A track that decodes segments when they are needed, and plays each at its exact sample.

import type { Segments } from "./segments";
import type { Track } from "./track";

/** How much stays decoded: what is playing and what is scheduled. Each second costs 0.4 MB per track. */
const KEPT_SECONDS = 8;

/** More segments that stay decoded: one for seeking back, and those at the edges. */
const EXTRA_SEGMENTS = 3;

export class SegmentedTrack implements Track {
  readonly output: GainNode;
  private readonly decoded = new Map<number, Promise<AudioBuffer>>();
  private readonly ready = new Map<number, AudioBuffer>();
  private readonly kept: number;
  private playing = new Set<AudioBufferSourceNode>();

  /** `offset` is how many samples of the file come before the song. */
  constructor(
    private readonly context: AudioContext,
    private readonly segments: Segments,
    private readonly offset = 0,
  ) {
    this.output = context.createGain();
    this.kept = Math.ceil((KEPT_SECONDS * segments.sampleRate) / segments.segmentSamples) + EXTRA_SEGMENTS;
  }

  async prepare(from: number, to: number): Promise<void> {
    await Promise.all(this.segmentsCovering(from + this.offset, to + this.offset).map((index) => this.decode(index)));
  }

  schedule(from: number, to: number, when: number, rate: number): void {
    this.scheduleSegments(from + this.offset, to + this.offset, when, rate);
  }

  stop(when: number): void {
    for (const source of this.playing) source.stop(when);
  }

  close(): void {
    this.stop(0);
    this.decoded.clear();
    this.ready.clear();
    this.output.disconnect();
  }

  private scheduleSegments(from: number, to: number, when: number, rate: number): void {
    const { segmentSamples, sampleRate } = this.segments;
    for (const index of this.segmentsCovering(from, to)) {
      const buffer = this.ready.get(index);
      if (!buffer) continue;
      const begin = Math.max(from, index * segmentSamples);
      const end = Math.min(to, index * segmentSamples + buffer.length);
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.playbackRate.value = rate;
      source.connect(this.output);
      source.onended = () => {
        source.disconnect();
        this.playing.delete(source);
      };
      const offset = (begin - index * segmentSamples) / sampleRate;
      source.start(when + (begin - from) / sampleRate / rate, offset, (end - begin) / sampleRate);
      this.playing.add(source);
    }
  }

  private segmentsCovering(from: number, to: number): number[] {
    const { segmentSamples, totalSamples } = this.segments;
    const first = Math.floor(from / segmentSamples);
    const stop = Math.ceil(Math.min(to, totalSamples) / segmentSamples);
    return Array.from({ length: Math.max(0, stop - first) }, (_, i) => first + i);
  }

  private decode(index: number): Promise<AudioBuffer> {
    const known = this.decoded.get(index);
    const loading = known ?? this.segments.decode(index);
    // The map is ordered by last use, so that decoding a piece's second segment does not drop its first.
    this.decoded.delete(index);
    this.decoded.set(index, loading);
    if (known) return known;
    for (const oldest of [...this.decoded.keys()].slice(0, -this.kept)) this.drop(oldest);
    loading.then(
      (buffer) => this.decoded.has(index) && this.ready.set(index, buffer),
      () => this.drop(index),
    );
    return loading;
  }

  private drop(index: number): void {
    this.decoded.delete(index);
    this.ready.delete(index);
  }
}
