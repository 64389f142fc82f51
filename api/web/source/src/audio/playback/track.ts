// What the transport plays: anything that can be made ready for a stretch of the song, and told when to sound.

export interface Track {
  /** Where its sound comes out; its gain is the mixer's. */
  readonly output: GainNode;
  /** Makes the samples from `from` to `to` of the song ready to be scheduled. */
  prepare(from: number, to: number): Promise<void>;
  /** Plays those samples, which are ready, at `when` seconds of the context's time. */
  schedule(from: number, to: number, when: number): void;
  /** Forgets all that is scheduled; what sounds ends at `when`. */
  stop(when: number): void;
  close(): void;
}

/** A track that may fail while it plays, and then is silent: `onFault` hears of it, and the others go on. */
export function forgiving(track: Track, onFault: () => void): Track {
  return {
    output: track.output,
    prepare: (from, to) => track.prepare(from, to).catch(onFault),
    schedule: (from, to, when) => track.schedule(from, to, when),
    stop: (when) => track.stop(when),
    close: () => track.close(),
  };
}
