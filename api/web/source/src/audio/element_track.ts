// A track that a media element plays: for the mixture as it was uploaded, and for long stems in formats that are not
// cut. An element starts when it likes, so it is led: its speed bends by a few per mille until it is in step.

import type { Track } from "./track";

/** Further off than this, a jump is quicker than bending. */
const JUMP_SECONDS = 0.25;

/** Nearer than this counts as in step; lower chases the clock's own jitter. */
const IN_STEP_SECONDS = 0.002;

/** The most that the speed bends. At 2 % nobody hears it in a second or two. */
const MOST_BEND = 0.02;

const LOOK_MILLISECONDS = 100;

interface Piece {
  from: number;
  to: number;
  when: number;
}

export class ElementTrack implements Track {
  readonly output: GainNode;
  private readonly element = new Audio();
  private pieces: Piece[] = [];
  private looking = 0;

  /** `offsetSeconds` is where in the element's audio the song begins. */
  constructor(
    private readonly context: AudioContext,
    url: string,
    private readonly offsetSeconds = 0,
  ) {
    this.output = context.createGain();
    // Without it, a storage of another origin would play as silence.
    this.element.crossOrigin = "anonymous";
    this.element.preload = "auto";
    this.element.preservesPitch = false;
    this.element.src = url;
    context.createMediaElementSource(this.element).connect(this.output);
  }

  async prepare(from: number): Promise<void> {
    if (this.pieces.length > 0) return;
    this.element.currentTime = this.placeOf(from);
    await this.canPlay();
  }

  schedule(from: number, to: number, when: number): void {
    this.pieces.push({ from, to, when });
    if (!this.looking) {
      this.looking = window.setInterval(() => this.lead(), LOOK_MILLISECONDS);
      window.setTimeout(() => this.lead(), (when - this.context.currentTime) * 1000);
    }
  }

  stop(): void {
    window.clearInterval(this.looking);
    this.looking = 0;
    this.pieces = [];
    this.element.pause();
  }

  close(): void {
    this.stop();
    this.output.disconnect();
    this.element.removeAttribute("src");
    this.element.load();
  }

  /** Compares where the element is with where it should be, and bends its speed. */
  private lead(): void {
    const now = this.context.currentTime;
    const { sampleRate } = this.context;
    while (this.pieces[1] && this.pieces[1].when <= now) this.pieces.shift();
    const piece = this.pieces[0];
    if (!piece || piece.when > now) return;
    const wanted = this.placeOf(piece.from) + (now - piece.when);
    if (now > piece.when + (piece.to - piece.from) / sampleRate) return this.element.pause();
    if (this.element.paused) {
      this.element.currentTime = wanted;
      void this.element.play().catch(() => undefined);
      return;
    }
    const late = wanted - this.element.currentTime;
    if (Math.abs(late) > JUMP_SECONDS) this.element.currentTime = wanted;
    const bend = Math.abs(late) < IN_STEP_SECONDS ? 0 : Math.max(-MOST_BEND, Math.min(MOST_BEND, late));
    this.element.playbackRate = 1 + bend;
  }

  private placeOf(sample: number): number {
    return this.offsetSeconds + sample / this.context.sampleRate;
  }

  private canPlay(): Promise<void> {
    const { element } = this;
    if (element.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA && !element.seeking) return Promise.resolve();
    return new Promise((resolve, reject) => {
      element.addEventListener("canplay", () => resolve(), { once: true });
      const refuse = () => reject(new Error("The browser cannot play this file's format."));
      if (element.error) refuse();
      element.addEventListener("error", refuse, { once: true });
    });
  }
}
