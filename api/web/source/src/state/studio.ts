// The studio of a finished job: the mixer's strips, the visible time window, and playback. The audio is loaded when the user
// first presses play.

import { computed, effect, signal, untracked, type Signal } from "@preact/signals";

import { requestJson } from "../api/client";
import type { Job, Report, Stem } from "../api/types";
import { openTrack } from "../audio/playback/open_track";
import { faultTolerant, type Track } from "../audio/playback/track";
import { Transport } from "../audio/playback/transport";
import { stemsAddUp } from "../words/report";
import { PLAYER_WORDS, PRACTICE_WORDS } from "../words/studio";
import { Beats } from "./beats";
import { hasAllStems } from "./engines";

/** A stretch of the song, in seconds. */
export interface Span {
  from: number;
  to: number;
}

/** The slowest speed, and by how many semitones the song can be transposed up or down. */
export const SLOWEST = 0.5;
export const MOST_SEMITONES = 6;

/** The longest delay that a meter may need. */
const MAX_DELAY_SECONDS = 1;

/** A shorter drag is a click that slipped. */
export const SHORTEST_LOOP_SECONDS = 0.25;

const SHORTEST_WINDOW_SECONDS = 1;

/** How much of the window remains after a press on "Zoom in". */
export const ZOOM_STEP = 0.5;

/** How long a gain takes to change: long enough to avoid clicks. */
const GAIN_SECONDS = 0.01;

/** How much audio a meter looks at: some 50 ms, about three frames of the screen. */
const ANALYSER_SAMPLES = 2048;

export class Strip {
  readonly volume = signal(1);
  readonly muted = signal(false);
  readonly solo = signal(false);
  /** Measures the strip's output; null until playback has started once. */
  readonly analyser = signal<AnalyserNode | null>(null);

  constructor(readonly stem: Stem) {}
}

export class Studio {
  readonly duration: number;
  readonly strips: readonly Strip[];
  readonly window: Signal<Span>;
  readonly position = signal(0);
  readonly playing = signal(false);
  readonly waiting = signal(false);
  readonly fault = signal<string | null>(null);
  readonly loop = signal<Span | null>(null);
  /** The time at the pointer; null while the pointer is elsewhere. */
  readonly pointed = signal<number | null>(null);
  readonly hearingMixture = signal(false);
  readonly mixtureFault = signal<string | null>(null);
  /** How fast the song is played, from `SLOWEST` to 1, and by how many semitones it is transposed. */
  readonly speed = signal(1);
  readonly semitones = signal(0);
  readonly paceFault = signal<string | null>(null);
  /** The job's report; null until it has been read. */
  readonly report = signal<Report | null>(null);
  /**
   * Whether all stems together are the original, according to the report. Then their sum is played for it: it is at hand, in step,
   * and in a format that the browser plays. The report measures this before the stems are encoded; what a lossy format loses
   * is what one hears of the stems too.
   */
  readonly stemsAddUp = computed(() => this.report.value !== null && stemsAddUp(this.report.value) && hasAllStems(this.job));

  readonly beats: Beats;

  private readonly closing = new AbortController();
  private transport: Promise<Transport> | null = null;
  private opened: Transport | null = null;
  private opening: Promise<void> | null = null;
  private readonly mixture = signal<Track | null>(null);
  /** Ends when the report has been read, or cannot be. */
  private readonly reading: Promise<void>;

  constructor(readonly job: Job) {
    this.duration = Math.max(0, ...job.stems.map((stem) => stem.duration_seconds ?? 0));
    this.strips = job.stems.map((stem) => new Strip(stem));
    this.window = signal({ from: 0, to: this.duration });
    this.reading = this.readReport();
    this.beats = new Beats(job, this.closing.signal);
  }

  toggle(): void {
    if (this.playing.value) this.opened?.pause();
    else void this.play();
  }

  async play(): Promise<void> {
    this.waiting.value = true;
    this.fault.value = null;
    try {
      // The context must be created within the click; browsers keep it silent otherwise.
      this.transport ??= this.open(this.newContext());
      (await this.transport).play();
    } catch (error) {
      this.transport = null;
      this.waiting.value = false;
      this.fault.value = error instanceof Error ? error.message : String(error);
    }
  }

  seek(seconds: number): void {
    this.position.value = Math.max(0, Math.min(seconds, this.duration));
    this.opened?.seek(this.position.value * this.opened.context.sampleRate);
    this.scrollTo(this.position.value);
  }

  /** Loops a stretch, from beat to beat if wanted, and jumps to its start if the play head is outside. Null ends the loop. */
  repeat(wanted: Span | null): void {
    const span = wanted && this.beats.snap(wanted);
    this.loop.value = span && span.to - span.from >= SHORTEST_LOOP_SECONDS ? span : null;
    const loop = this.loop.value;
    this.applyLoop();
    if (loop && (this.position.value < loop.from || this.position.value >= loop.to)) this.seek(loop.from);
  }

  /** Lets loops snap to the beats, also the present one, or not. */
  snapLoops(wanted: boolean): void {
    this.beats.snapping.value = wanted;
    this.repeat(this.loop.value);
  }

  /** Shows a stretch, within the limits of the song and of the shortest window. */
  zoom(span: Span): void {
    const length = Math.min(this.duration, Math.max(SHORTEST_WINDOW_SECONDS, span.to - span.from));
    const from = Math.max(0, Math.min(span.from, this.duration - length));
    this.window.value = { from, to: from + length };
  }

  zoomBy(factor: number, around = this.position.value): void {
    const { from, to } = this.window.value;
    const centre = Math.max(from, Math.min(around, to));
    this.zoom({ from: centre - (centre - from) * factor, to: centre + (to - centre) * factor });
  }

  async hearMixture(wanted: boolean): Promise<void> {
    this.hearingMixture.value = wanted;
    await this.reading;
    if (!wanted || this.stemsAddUp.value || this.mixture.value || !this.opened) return;
    // Only once, however often the button is pressed, but again after a failure.
    this.opening ??= this.openMixture(this.opened).finally(() => (this.opening = null));
    await this.opening;
  }

  /** Returns a stem's gain in the mix, even while the original is playing. */
  mixedGain(strip: Strip): number {
    return this.isSilenced(strip) ? 0 : strip.volume.value;
  }

  isSilenced(strip: Strip): boolean {
    return this.strips.some((other) => other.solo.value) ? !strip.solo.value : strip.muted.value;
  }

  close(): void {
    this.closing.abort();
    this.opened?.close();
  }

  private async readReport(): Promise<void> {
    const { report } = this.job;
    // Without the report, the original is played from its own file.
    const found = report ? requestJson<Report>(report.url, { signal: this.closing.signal }).catch(() => null) : null;
    this.report.value = await found;
  }

  private newContext(): AudioContext {
    const sampleRate = this.job.stems[0]?.sample_rate_hz;
    // On phones, play even if the ring switch is set to silent.
    const { audioSession } = navigator as { audioSession?: { type: string } };
    if (audioSession) audioSession.type = "playback";
    // At the stems' own sample rate nothing is resampled, so segments join without a seam.
    return new AudioContext({ latencyHint: "playback", ...(sampleRate && { sampleRate }) });
  }

  private async open(context: AudioContext): Promise<Transport> {
    const { signal } = this.closing;
    const tracks = await Promise.all(this.job.stems.map((stem) => openTrack(context, stem, signal)))
      .finally(() => signal.throwIfAborted())
      .catch((error: unknown) => {
        void context.close();
        throw error;
      });
    const transport = new Transport(context, Math.round(this.duration * context.sampleRate));
    for (const [place, track] of tracks.entries()) {
      const strip = this.strips[place]!;
      this.connect(transport, track, () => this.gainOf(strip));
      strip.analyser.value = new AnalyserNode(context, { fftSize: ANALYSER_SAMPLES });
      const delay = new DelayNode(context, { maxDelayTime: MAX_DELAY_SECONDS });
      this.whileOpen(() => (delay.delayTime.value = transport.delay.value));
      track.output.connect(delay).connect(strip.analyser.value);
      await transport.addTrack(track);
    }
    this.opened = transport;
    this.applyLoop();
    await this.applyPace(transport);
    this.whileOpen(() => {
      void [this.speed.value, this.semitones.value];
      untracked(() => void this.applyPace(transport));
    });
    if (this.hearingMixture.value) await this.hearMixture(true);
    transport.seek(this.position.value * context.sampleRate);
    this.follow(transport);
    if (this.closing.signal.aborted) transport.close();
    return transport;
  }

  private async openMixture(transport: Transport): Promise<void> {
    const { job, closing } = this;
    const start = job.excerpt?.start_seconds ?? 0;
    const fail = () => {
      this.hearingMixture.value = false;
      this.mixtureFault.value = PLAYER_WORDS.originalUnplayable;
    };
    try {
      const track = await openTrack(transport.context, job.source, closing.signal, start);
      const from = this.position.value * transport.context.sampleRate;
      await track.prepare(from, Math.min(from + transport.context.sampleRate, transport.totalSamples));
      this.connect(transport, track, () => (this.isMixturePlaying() ? 10 ** ((this.report.value?.gain_db ?? 0) / 20) : 0));
      await transport.addTrack(faultTolerant(track, fail));
      this.mixture.value = track;
    } catch {
      fail();
    }
  }

  private connect(transport: Transport, track: Track, gain: () => number): void {
    track.output.connect(transport.mix);
    track.output.gain.value = gain();
    this.whileOpen(() => track.output.gain.setTargetAtTime(gain(), transport.context.currentTime, GAIN_SECONDS / 3));
  }

  /** Sets the transport's pace to the studio's. If the browser cannot play it, the studio returns to the song's own. */
  private async applyPace(transport: Transport): Promise<void> {
    const [rate, semitones] = [this.speed.value, this.semitones.value];
    try {
      await transport.setPace({ rate, semitones });
      if (rate !== 1 || semitones !== 0) this.paceFault.value = null;
    } catch {
      this.paceFault.value = window.isSecureContext ? PRACTICE_WORDS.unplayable : PRACTICE_WORDS.needsHttps;
      [this.speed.value, this.semitones.value] = [1, 0];
    }
  }

  /** Whether the original is playing from its own file. Until it is ready, the stems keep playing, so that the switch has no gap. */
  private isMixturePlaying(): boolean {
    return this.hearingMixture.value && this.mixture.value !== null && !this.stemsAddUp.value;
  }

  private gainOf(strip: Strip): number {
    // The worker may have made the stems quieter. At full level their sum is as much quieter, like the stems alone.
    if (this.hearingMixture.value && this.stemsAddUp.value) return 1;
    return this.isMixturePlaying() ? 0 : this.mixedGain(strip);
  }

  private follow(transport: Transport): void {
    this.whileOpen(() => {
      this.waiting.value = transport.waiting.value;
      this.fault.value = transport.fault.value;
    });
    // A separate effect, because each of its runs starts to follow the play head.
    this.whileOpen(() => {
      this.playing.value = transport.playing.value;
      if (transport.playing.value) requestAnimationFrame(() => this.track(transport));
      else this.position.value = transport.position() / transport.context.sampleRate;
    });
  }

  private track(transport: Transport): void {
    if (!transport.playing.peek()) return;
    this.position.value = transport.position() / transport.context.sampleRate;
    this.scrollTo(this.position.value);
    requestAnimationFrame(() => this.track(transport));
  }

  /** Moves the window when the play head leaves it. */
  private scrollTo(seconds: number): void {
    const { from, to } = this.window.value;
    const length = to - from;
    if (length >= this.duration || (seconds >= from && seconds <= to)) return;
    this.zoom({ from: seconds - length * 0.05, to: seconds + length * 0.95 });
  }

  private applyLoop(): void {
    const { opened, loop } = this;
    const rate = opened?.context.sampleRate ?? 0;
    const region = loop.value && { from: Math.round(loop.value.from * rate), to: Math.round(loop.value.to * rate) };
    opened?.repeat(region);
  }

  private whileOpen(work: () => void): void {
    const stop = effect(work);
    this.closing.signal.addEventListener("abort", stop, { once: true });
  }
}

export function loopFromHere(studio: Studio): void {
  const from = studio.position.value;
  const to = studio.loop.value?.to ?? studio.duration;
  studio.repeat({ from, to: to > from ? to : studio.duration });
}

export function loopToHere(studio: Studio): void {
  const to = studio.position.value;
  const from = studio.loop.value?.from ?? 0;
  studio.repeat({ from: from < to ? from : 0, to });
}
