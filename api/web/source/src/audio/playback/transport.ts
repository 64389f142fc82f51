// One play head over all tracks: cuts the song into short pieces, and schedules each on every track at the same sample
// of the context's clock. Owns play, pause, seek and loop; owns no gains and no drawing.

import { signal } from "@preact/signals";

import type { Track } from "./track";

/** How much is scheduled at once. Shorter pieces cost work; longer ones delay a change of the loop. */
const PIECE_SECONDS = 2;

/** How far ahead is scheduled: more than a hidden tab's timers sleep. */
const AHEAD_SECONDS = 4;

/**
 * From the decision to play until the first sample sounds, beside the context's own latency. A start that comes too
 * late is not skipped into but begins late, and overlaps what follows: lower risks that on a busy machine.
 */
const LEAD_SECONDS = 0.1;

/** What keeps a stop or a start from clicking. */
const FADE_SECONDS = 0.01;

const SHORTEST_WAIT_SECONDS = 0.02;

/** A part of the song, in samples. */
export interface Region {
  from: number;
  to: number;
}

interface Piece extends Region {
  /** The context's frame at which it begins to sound. */
  frame: number;
}

export class Transport {
  readonly playing = signal(false);
  /** Whether playing waits for samples to arrive. */
  readonly waiting = signal(false);
  readonly loop = signal<Region | null>(null);
  readonly fault = signal<string | null>(null);
  readonly master: GainNode;
  private readonly tracks = new Set<Track>();
  private pieces: Piece[] = [];
  private head = 0;
  private run = 0;

  constructor(
    readonly context: AudioContext,
    readonly totalSamples: number,
  ) {
    this.master = context.createGain();
    this.master.connect(context.destination);
  }

  /** Returns where the sound is that leaves the speakers now, in samples. */
  position(): number {
    if (!this.playing.value) return this.head;
    const now = (this.context.currentTime - (this.context.outputLatency || 0)) * this.context.sampleRate;
    while (this.pieces[1] && this.pieces[1].frame <= now) this.pieces.shift();
    const piece = this.pieces[0];
    if (!piece) return this.head;
    return piece.from + Math.max(0, Math.min(now - piece.frame, piece.to - piece.from));
  }

  play(): void {
    if (this.playing.value) return;
    if (this.head >= this.totalSamples) this.head = 0;
    this.playing.value = true;
    this.fault.value = null;
    void this.keepPlaying(++this.run);
  }

  pause(): void {
    this.head = this.position();
    this.playing.value = false;
    this.silence();
  }

  seek(sample: number): void {
    const playing = this.playing.value;
    if (playing) this.pause();
    this.head = Math.max(0, Math.min(sample, this.totalSamples));
    if (playing) this.play();
  }

  /** Sets what repeats; null plays through. What is scheduled already is scheduled anew. */
  repeat(region: Region | null): void {
    this.loop.value = region;
    if (this.playing.value) this.seek(this.position());
  }

  /** Takes in a track while the others play on: it begins in the midst of what is scheduled, in step with it. */
  async join(track: Track): Promise<void> {
    let known: Piece[];
    do {
      known = [...this.pieces];
      await Promise.all(known.map(({ from, to }) => track.prepare(from, to)));
    } while (known.at(-1) !== this.pieces.at(-1));
    this.tracks.add(track);
    const soonest = this.soonest();
    for (const { from, to, frame } of this.pieces) {
      const late = Math.max(0, soonest - frame);
      if (from + late < to) track.schedule(from + late, to, (frame + late) / this.context.sampleRate);
    }
  }

  close(): void {
    this.pause();
    for (const track of this.tracks) track.close();
    void this.context.close();
  }

  private silence(): void {
    this.run++;
    this.waiting.value = false;
    this.pieces = [];
    const now = this.context.currentTime;
    this.master.gain.cancelScheduledValues(now);
    this.master.gain.setTargetAtTime(0, now, FADE_SECONDS / 3);
    for (const track of this.tracks) track.stop(now + 2 * FADE_SECONDS);
  }

  private async keepPlaying(run: number): Promise<void> {
    try {
      await this.context.resume();
      for (let next = this.pieceAt(this.head); next; next = this.pieceAt(this.after(next))) {
        if (!(await this.playPiece(next, run))) return;
      }
      await this.waitUntil(this.end(), run);
    } catch (error) {
      if (run !== this.run) return;
      this.fault.value = error instanceof Error ? error.message : String(error);
    }
    if (run !== this.run) return;
    this.pause();
  }

  /** Schedules a piece once its samples are there; returns whether this run still goes on. */
  private async playPiece(region: Region, run: number): Promise<boolean> {
    const starved = window.setTimeout(() => (this.waiting.value = true), this.pieces.length ? 1000 * PIECE_SECONDS : 150);
    try {
      // A track may join in the meantime.
      for (let ready = 0; ready < this.tracks.size; ) {
        ready = this.tracks.size;
        await Promise.all([...this.tracks].map((track) => track.prepare(region.from, region.to)));
      }
    } finally {
      window.clearTimeout(starved);
    }
    if (run !== this.run) return false;
    this.waiting.value = false;
    const { sampleRate } = this.context;
    // Later than planned, where samples came late: a gap, but everything after it is in step.
    const frame = Math.max(this.end(), this.soonest());
    if (!this.pieces.length) this.fadeIn(frame / sampleRate);
    this.pieces.push({ ...region, frame });
    for (const track of this.tracks) track.schedule(region.from, region.to, frame / sampleRate);
    await this.waitUntil(this.end() - AHEAD_SECONDS * sampleRate, run);
    return run === this.run;
  }

  private fadeIn(when: number): void {
    const { gain } = this.master;
    gain.cancelScheduledValues(this.context.currentTime);
    gain.setValueAtTime(0, when);
    gain.linearRampToValueAtTime(1, when + FADE_SECONDS / 2);
  }

  private pieceAt(sample: number): Region | null {
    const loop = this.loop.value;
    const from = Math.floor(sample);
    const stop = loop && from < loop.to ? loop.to : this.totalSamples;
    const to = Math.min(stop, from + PIECE_SECONDS * this.context.sampleRate);
    return to > from ? { from, to } : null;
  }

  /** Returns where the song goes on after a piece: on, or back to where the loop begins. */
  private after(piece: Region): number {
    const loop = this.loop.value;
    return loop && piece.to === loop.to ? loop.from : piece.to;
  }

  /** Returns the first frame at which something can still be made to sound. */
  private soonest(): number {
    const { sampleRate, currentTime, baseLatency } = this.context;
    return Math.ceil((currentTime + LEAD_SECONDS + 2 * baseLatency) * sampleRate);
  }

  /** Returns the frame at which all that is scheduled has sounded. */
  private end(): number {
    const last = this.pieces.at(-1);
    return last ? last.frame + last.to - last.from : 0;
  }

  /** Waits for the sound's own clock, which halts where the sound does: while a phone rings, or the speakers are gone. */
  private async waitUntil(frame: number, run: number): Promise<void> {
    for (;;) {
      const seconds = frame / this.context.sampleRate - this.context.currentTime;
      if (seconds <= 0 || run !== this.run) return;
      await new Promise((resolve) => window.setTimeout(resolve, Math.max(SHORTEST_WAIT_SECONDS, seconds) * 1000));
    }
  }
}
