// What the transport plays: anything that can prepare a stretch of the song and then be scheduled.

export interface Track {
  /** Where its sound comes out. The mixer sets its gain. */
  readonly output: GainNode;
  /** Decodes the song's samples from `from` to `to`, so that they can be scheduled. */
  prepare(from: number, to: number): Promise<void>;
  /** Plays prepared samples at `when`, in seconds of the context's clock; at half speed the `rate` is 0.5. */
  schedule(from: number, to: number, when: number, rate: number): void;
  /** Cancels everything that is scheduled; what is playing ends at `when`. */
  stop(when: number): void;
  close(): void;
}

/** Returns a track that becomes silent when it fails, instead of stopping the others; `onFault` is called then. */
export function faultTolerant(track: Track, onFault: () => void): Track {
  return {
    output: track.output,
    prepare: (from, to) => track.prepare(from, to).catch(onFault),
    schedule: (from, to, when, rate) => track.schedule(from, to, when, rate),
    stop: (when) => track.stop(when),
    close: () => track.close(),
  };
}
