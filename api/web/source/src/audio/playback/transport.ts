// One play head for all tracks: divides the song into short pieces, and schedules each of them on every track at the same
// sample of the context's clock.

import { signal } from "@preact/signals";

import { PLAYER_WORDS } from "../../words/studio";
import { isOriginal, openStretcher, ORIGINAL_PACE, type Pace, type Stretcher } from "../stretcher/stretcher";
import type { Track } from "./track";

/** The length of a piece. Shorter pieces cost work; longer ones delay the first sound and changes of the loop. */
const PIECE_SECONDS = 1;

/** How far ahead pieces are scheduled: longer than the timers of a hidden tab sleep. */
const AHEAD_SECONDS = 4;

/**
 * The time between the decision to play and the first sample, in addition to the context's own latency. A source that is
 * started too late is not shortened but overlaps the next one, which a shorter lead risks on a busy machine.
 */
const LEAD_SECONDS = 0.1;

/** Fades this short keep starts and stops from clicking. */
const FADE_SECONDS = 0.01;

/** How long the browser may take to start the sound, before the play button says that it did not. */
const RESUME_SECONDS = 3;

const SHORTEST_WAIT_SECONDS = 0.02;

/** A part of the song, in samples. */
export interface Region {
  from: number;
  to: number;
}

interface Piece extends Region {
  /** The frame of the context's clock at which it begins: between two frames if it is played slower. */
  frame: number;
}

export class Transport {
  readonly playing = signal(false);
  /** Whether playback waits for samples. */
  readonly waiting = signal(false);
  readonly loop = signal<Region | null>(null);
  readonly fault = signal<string | null>(null);
  /** Where the tracks come together. */
  readonly mix: GainNode;
  /** How much later, in seconds, what the tracks play leaves the speakers because of the stretcher. */
  readonly delay = signal(0);
  private readonly master: GainNode;
  private readonly tracks = new Set<Track>();
  private pieces: Piece[] = [];
  private head = 0;
  private run = 0;
  private pace = ORIGINAL_PACE;
  private wantedPace = ORIGINAL_PACE;
  private changing: Promise<void> | null = null;
  private stretcher: Stretcher | null = null;
  /** Whether the sound of the present run has started. */
  private started = false;

  constructor(
    readonly context: AudioContext,
    readonly totalSamples: number,
    private readonly loadStretcher: (context: AudioContext) => Promise<Stretcher> = openStretcher,
  ) {
    this.mix = context.createGain();
    this.master = context.createGain();
    this.mix.connect(this.master);
    this.master.connect(context.destination);
    // The browser stops the sound by itself, for example during a call, or when the loudspeaker is unplugged.
    context.addEventListener("statechange", () => {
      if (this.started && context.state !== "running") this.pause();
    });
  }

  /** Returns which of the song's samples leaves the speakers now. */
  position(): number {
    if (!this.playing.value) return this.head;
    const { currentTime, outputLatency, sampleRate } = this.context;
    const now = (currentTime - (outputLatency || 0) - this.delay.value) * sampleRate;
    while (this.pieces[1] && this.pieces[1].frame <= now) this.pieces.shift();
    const piece = this.pieces[0];
    if (!piece) return this.head;
    return piece.from + Math.max(0, Math.min((now - piece.frame) * this.pace.rate, piece.to - piece.from));
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

  /** Sets the loop, or removes it with null. Pieces that are already scheduled are scheduled again. */
  repeat(region: Region | null): void {
    this.loop.value = region;
    if (this.playing.value) this.seek(this.position());
  }

  /** Plays slower, or transposed, from now on. Throws if the browser cannot, and goes on as before. */
  setPace(pace: Pace): Promise<void> {
    this.wantedPace = pace;
    this.changing ??= this.changePace().finally(() => (this.changing = null));
    return this.changing;
  }

  /** Adds a track while the others keep playing. It starts within the pieces that are scheduled, in step with the others. */
  async addTrack(track: Track): Promise<void> {
    let known: Piece[];
    do {
      known = [...this.pieces];
      await Promise.all(known.map(({ from, to }) => track.prepare(from, to)));
    } while (known.at(-1) !== this.pieces.at(-1));
    this.tracks.add(track);
    const earliestFrame = this.earliestFrame();
    for (const { from, to, frame } of this.pieces) {
      const late = Math.max(0, earliestFrame - frame);
      const begin = from + late * this.pace.rate;
      if (begin < to) track.schedule(begin, to, (frame + late) / this.context.sampleRate, this.pace.rate);
    }
  }

  close(): void {
    this.pause();
    for (const track of this.tracks) track.close();
    void this.context.close();
  }

  private async changePace(): Promise<void> {
    // While the stretcher was loading, another pace may have been chosen.
    while (this.wantedPace !== this.pace) {
      if (!isOriginal(this.wantedPace) && !this.stretcher) this.stretcher = await this.loadStretcher(this.context);
      else this.applyPace(this.wantedPace);
    }
  }

  private applyPace(pace: Pace): void {
    const restart = pace.rate !== this.pace.rate || isOriginal(pace) !== isOriginal(this.pace);
    const playing = restart && this.playing.value;
    if (playing) this.pause();
    this.pace = pace;
    this.stretcher?.tune(pace);
    if (restart) this.connectMix();
    if (playing) this.play();
  }

  /** Sends the mix through the stretcher, unless it is played as it is. */
  private connectMix(): void {
    this.mix.disconnect();
    this.stretcher?.node.disconnect();
    const stretcher = isOriginal(this.pace) ? null : this.stretcher;
    if (stretcher) this.mix.connect(stretcher.node).connect(this.master);
    else this.mix.connect(this.master);
    this.delay.value = stretcher?.latency ?? 0;
  }

  private silence(): void {
    this.run++;
    this.started = false;
    this.waiting.value = false;
    this.pieces = [];
    const now = this.context.currentTime;
    this.master.gain.cancelScheduledValues(now);
    this.master.gain.setTargetAtTime(0, now, FADE_SECONDS / 3);
    for (const track of this.tracks) track.stop(now + 2 * FADE_SECONDS);
  }

  private async keepPlaying(run: number): Promise<void> {
    try {
      if (!(await this.resume())) {
        if (run === this.run) throw new Error(PLAYER_WORDS.soundOff);
        return;
      }
      if (run !== this.run) return;
      this.started = true;
      for (let next = this.pieceAt(this.head); next; next = this.pieceAt(this.after(next))) {
        if (!(await this.playPiece(next, run))) return;
      }
      await this.waitUntil(this.end() + this.delay.value * this.context.sampleRate, run);
    } catch (error) {
      if (run !== this.run) return;
      this.fault.value = error instanceof Error ? error.message : String(error);
    }
    if (run !== this.run) return;
    this.pause();
  }

  /** Starts the context; returns false if the browser keeps it silent, which the promise of `resume` never tells. */
  private async resume(): Promise<boolean> {
    const late = new Promise<void>((resolve) => window.setTimeout(resolve, 1000 * RESUME_SECONDS));
    await Promise.race([this.context.resume(), late]);
    return this.context.state === "running";
  }

  /** Schedules a piece as soon as its samples are decoded; returns false if playback was stopped meanwhile. */
  private async playPiece(region: Region, run: number): Promise<boolean> {
    const stalledTimer = window.setTimeout(() => (this.waiting.value = true), this.pieces.length ? 1000 * PIECE_SECONDS : 150);
    try {
      // A track may be added in the meantime.
      for (let ready = 0; ready < this.tracks.size; ) {
        ready = this.tracks.size;
        await Promise.all([...this.tracks].map((track) => track.prepare(region.from, region.to)));
      }
    } finally {
      window.clearTimeout(stalledTimer);
    }
    if (run !== this.run) return false;
    this.waiting.value = false;
    const { sampleRate } = this.context;
    // If the samples came late there is a gap, but everything after it is in step.
    const frame = Math.max(this.end(), this.earliestFrame());
    if (!this.pieces.length) this.fadeIn(frame / sampleRate + this.delay.value);
    this.pieces.push({ ...region, frame });
    for (const track of this.tracks) track.schedule(region.from, region.to, frame / sampleRate, this.pace.rate);
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

  /** Returns the sample that follows a piece: the next one, or the first of the loop. */
  private after(piece: Region): number {
    const loop = this.loop.value;
    return loop && piece.to === loop.to ? loop.from : piece.to;
  }

  /** Returns the earliest frame at which something can still be scheduled. */
  private earliestFrame(): number {
    const { sampleRate, currentTime, baseLatency } = this.context;
    return Math.ceil((currentTime + LEAD_SECONDS + 2 * baseLatency) * sampleRate);
  }

  /** Returns the frame at which everything that is scheduled will have been played. */
  private end(): number {
    const last = this.pieces.at(-1);
    return last ? last.frame + (last.to - last.from) / this.pace.rate : 0;
  }

  /** Waits until the audio clock reaches a frame. The clock stops with the audio, for example while a phone rings. */
  private async waitUntil(frame: number, run: number): Promise<void> {
    for (;;) {
      const seconds = frame / this.context.sampleRate - this.context.currentTime;
      if (seconds <= 0 || run !== this.run) return;
      await new Promise((resolve) => window.setTimeout(resolve, Math.max(SHORTEST_WAIT_SECONDS, seconds) * 1000));
    }
  }
}
