// The beats of a song, if the worker has found any: a grid under the waveforms, to which loops can snap.

import { signal } from "@preact/signals";

import { requestJson } from "../api/client";
import type { BeatsFile, Job } from "../api/types";

interface Stretch {
  from: number;
  to: number;
}

export class Beats {
  /** Seconds from the start of the stems, in order; empty if there are none. */
  readonly times = signal<readonly number[]>([]);
  /** Whether loops begin and end on beats. */
  readonly snapping = signal(false);
  readonly tempo: number | null;
  /** As in "A minor". */
  readonly key: string | null;

  constructor(job: Job, signal: AbortSignal) {
    const { music, beats } = job;
    this.tempo = music?.tempo_bpm ?? null;
    this.key = music?.key ?? null;
    if (!beats) return;
    requestJson<BeatsFile>(beats.url, { signal }).then(
      (file) => (this.times.value = file.beats.map((seconds) => seconds - file.start_seconds)),
      // Without its beats the song has no grid.
      () => undefined,
    );
  }

  /** Returns the stretch between the beats nearest to both ends, at least from one beat to the next; unchanged without snapping. */
  snap({ from, to }: Stretch): Stretch {
    const times = this.times.value;
    if (!this.snapping.value || times.length < 2) return { from, to };
    const first = Math.min(nearest(times, from), times.length - 2);
    return { from: times[first]!, to: times[Math.max(nearest(times, to), first + 1)]! };
  }
}

/** Returns the place of the time that is nearest. */
function nearest(times: readonly number[], seconds: number): number {
  let place = times.findIndex((time) => time >= seconds);
  if (place < 0) place = times.length - 1;
  return place > 0 && seconds - times[place - 1]! < times[place]! - seconds ? place - 1 : place;
}
