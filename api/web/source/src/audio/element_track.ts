// A track that a media element plays: for the mixture as it was uploaded, and for long stems in formats that are not
// cut. An element starts when it likes, so it is led: its speed bends until it is in step, and only then is it heard.

import { effect, signal } from "@preact/signals";

import type { Track } from "./track";

/** Further off than this, a jump is quicker than bending. */
const JUMP_SECONDS = 0.25;

/** Nearer than this counts as in step; lower chases the clocks' jitter. */
const IN_STEP_SECONDS = 0.004;

/** The most that the speed bends while it is heard. At 1 % nobody notices for a second or two. */
const MOST_BEND = 0.01;

/** The same while nobody hears it. */
const MOST_BEND_UNHEARD = 0.25;

/** A clock that jitters too much to be ever in step must not keep the track silent. */
const MOST_UNHEARD_SECONDS = 3;

/** Both clocks advance in steps of some milliseconds, so that only the mean of several looks tells how far off it is. */
const LOOK_MILLISECONDS = 20;
const LOOKS = 15;

interface Piece {
  from: number;
  to: number;
  when: number;
}

export class ElementTrack implements Track {
  readonly output: GainNode;
  /** Whether it plays what it should within a few milliseconds; until then it is silent. */
  readonly inStep = signal(false);
  private unheardSince = 0;
  private lates: number[] = [];
  private bending = 0;
  private readonly stopGate: () => void;
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
    const gate = context.createGain();
    gate.gain.value = 0;
    context.createMediaElementSource(this.element).connect(gate).connect(this.output);
    this.stopGate = effect(() => {
      gate.gain.setTargetAtTime(this.inStep.value ? 1 : 0, context.currentTime, 0.003);
    });
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
    this.inStep.value = false;
    this.straighten();
    this.element.pause();
  }

  close(): void {
    this.stop();
    this.stopGate();
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
    if (this.element.paused || Math.abs(wanted - this.element.currentTime) > JUMP_SECONDS) return this.jump(wanted);
    this.bend(wanted - this.element.currentTime);
  }

  private jump(wanted: number): void {
    this.inStep.value = false;
    this.unheardSince = this.context.currentTime;
    this.straighten();
    this.element.currentTime = wanted;
    if (this.element.paused) void this.element.play().catch(() => undefined);
  }

  /** Looks how late the element is; once it has looked often enough, bends for as long as makes up for it. */
  private bend(late: number): void {
    if (this.bending) return;
    this.lates.push(late);
    if (this.lates.length < LOOKS) return;
    const mean = this.lates.reduce((sum, one) => sum + one, 0) / LOOKS;
    this.lates = [];
    const near = Math.abs(mean) < IN_STEP_SECONDS;
    if (near || this.context.currentTime > this.unheardSince + MOST_UNHEARD_SECONDS) this.inStep.value = true;
    if (near) return;
    const most = this.inStep.value ? MOST_BEND : MOST_BEND_UNHEARD;
    this.element.playbackRate = 1 + Math.sign(mean) * most;
    this.bending = window.setTimeout(() => this.straighten(), (Math.abs(mean) / most) * 1000);
  }

  private straighten(): void {
    window.clearTimeout(this.bending);
    this.bending = 0;
    this.lates = [];
    this.element.playbackRate = 1;
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
