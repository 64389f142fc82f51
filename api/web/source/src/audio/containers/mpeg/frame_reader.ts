// Reads MP3 files whose bitrate varies from the start, only as far as frames are wanted, so that
// playback need not wait for the whole file. What has been read is kept in a Blob, which browsers store outside of the
// page's memory: an hour of MP3 would fill it.

import { UnsupportedFile, type ReadRange } from "../audio_file";
import { concat } from "../bytes";

/** A frame's place among the bytes that were searched. */
export interface Frame {
  start: number;
  end: number;
}

/** The frames in some bytes, and where the unfinished rest begins that needs more bytes. */
export interface FoundFrames {
  frames: Frame[];
  next: number;
}

/** Finds frames; `isLast` says that no more bytes follow. */
export type FindFrames = (bytes: Uint8Array, isLast: boolean) => FoundFrames;

/** The smallest read: some seconds of music. */
const MIN_READ_BYTES = 1 << 18;

export class FrameReader {
  /** The frames found so far; their places count from where the first frame begins in the file. */
  readonly frames: Frame[] = [];
  private kept = new Blob();
  private unfinished = new Uint8Array(0);
  private end: number;
  private turn: Promise<void> = Promise.resolve();

  /** `start` is where in the file the frames begin. */
  constructor(
    private readonly read: ReadRange,
    private readonly size: number,
    private readonly start: number,
    private readonly find: FindFrames,
  ) {
    this.end = start;
  }

  /** Reads on until this many frames are known, or until the file ends. */
  async indexFrames(count: number): Promise<void> {
    const reading = this.turn.then(() => this.readUntil(count));
    // After a failed read, the next caller tries again.
    this.turn = reading.catch(() => undefined);
    return reading;
  }

  /** Returns the bytes of the frames from `first` up to, not including, `stop`, without anything between them. */
  async readFrames(first: number, stop: number): Promise<ArrayBuffer> {
    await this.indexFrames(stop);
    if (this.frames.length <= first) throw new UnsupportedFile("The file has fewer frames than its header says.");
    const runs: Frame[] = [];
    for (const { start, end } of this.frames.slice(first, stop)) {
      const run = runs.at(-1);
      if (run?.end === start) run.end = end;
      else runs.push({ start, end });
    }
    return new Blob(runs.map(({ start, end }) => this.kept.slice(start, end))).arrayBuffer();
  }

  private async readUntil(count: number): Promise<void> {
    while (this.frames.length < count && this.end < this.size) {
      const known = this.frames.length;
      // After a seek far ahead, estimate the distance: one large read instead of many small ones.
      const estimate = known && ((count - known) * (this.end - this.start)) / known;
      const stop = Math.min(this.size, this.end + Math.max(MIN_READ_BYTES, Math.ceil(estimate)));
      const bytes = await this.read(this.end, stop);
      const place = this.end - this.unfinished.length - this.start;
      const searched = concat([this.unfinished, bytes]);
      const { frames, next } = this.find(searched, stop === this.size);
      // Without this, each round would search all bytes before it again.
      if (next === 0 && stop < this.size) throw new UnsupportedFile("The file has no frames where they should be.");
      for (const { start, end } of frames) this.frames.push({ start: place + start, end: place + end });
      this.kept = new Blob([this.kept, bytes]);
      this.unfinished = searched.slice(next);
      this.end = stop;
    }
  }
}
