// Files whose frames have to be counted from the first on: read as far as frames are wanted, so that the first sound need
// not wait for the last byte. What was read is kept by the browser outside of the page's memory, which an hour of MP3
// would fill.

import { joined } from "./cuttable";
import type { ReadRange } from "../playback/ranges";

/** Where a frame is in what is looked at. */
export interface Frame {
  start: number;
  end: number;
}

/** Returns the frames in these bytes, and where what wants more bytes begins; `isLast` says that none will come. */
export type FindFrames = (bytes: Uint8Array, isLast: boolean) => { frames: Frame[]; next: number };

/** What is read at once at least: some seconds of music. */
const LEAST_BYTES = 1 << 18;

export class FrameReader {
  /** Those that are known, counted from where the frames begin. */
  readonly frames: Frame[] = [];
  private kept = new Blob();
  private unread = new Uint8Array(0);
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

  /** Learns of so many frames, or of all where there are fewer. */
  async learn(count: number): Promise<void> {
    const reading = this.turn.then(() => this.readOn(count));
    // Whoever comes next tries again.
    this.turn = reading.catch(() => undefined);
    return reading;
  }

  /** Returns the bytes of the frames from `first` up to, not including, `stop`, without what lies between them. */
  async bytes(first: number, stop: number): Promise<ArrayBuffer> {
    await this.learn(stop);
    const runs: Frame[] = [];
    for (const { start, end } of this.frames.slice(first, stop)) {
      const run = runs.at(-1);
      if (run?.end === start) run.end = end;
      else runs.push({ start, end });
    }
    return new Blob(runs.map(({ start, end }) => this.kept.slice(start, end))).arrayBuffer();
  }

  private async readOn(count: number): Promise<void> {
    while (this.frames.length < count && this.end < this.size) {
      const known = this.frames.length;
      // Far ahead at once: a seek should not take a request for each step.
      const guess = known && ((count - known) * (this.end - this.start)) / known;
      const stop = Math.min(this.size, this.end + Math.max(LEAST_BYTES, Math.ceil(guess)));
      const bytes = await this.read(this.end, stop);
      const place = this.end - this.unread.length - this.start;
      const seen = joined([this.unread, bytes]);
      const { frames, next } = this.find(seen, stop === this.size);
      for (const { start, end } of frames) this.frames.push({ start: place + start, end: place + end });
      this.kept = new Blob([this.kept, bytes]);
      this.unread = seen.slice(next);
      this.end = stop;
    }
  }
}
