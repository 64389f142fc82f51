// The types that all container readers share: how a file is read, and what a reader gives back. Readers only find
// frames; the browser decodes them.

/** Reads the bytes from `start` up to, not including, `stop`. */
export type ReadRange = (start: number, stop: number) => Promise<Uint8Array<ArrayBuffer>>;

/** The file cannot be cut into segments: its format is unknown, unsupported, or damaged. */
export class UnsupportedFile extends Error {}

/** A small file of its own, and how many of its decoded samples come before the wanted ones. */
export interface Cut {
  file: ArrayBuffer;
  skip: number;
}

/** An audio file of which any stretch can be cut out as a small file. */
export interface AudioFile {
  readonly sampleRate: number;
  readonly totalSamples: number;
  /** The longest that segments should be, so that a seek reads little. */
  readonly segmentSeconds?: number;
  /** Cuts out the samples from `first` up to, not including, `stop`. Throws UnsupportedFile. */
  cut(first: number, stop: number): Promise<Cut>;
}

/**
 * Opens a file of one container. `decodedRate` is the sample rate that the file decodes to, if the server has told it:
 * with HE-AAC it is twice the rate in the file's header.
 */
export type OpenAudioFile = (read: ReadRange, size: number, decodedRate: number | null) => Promise<AudioFile>;
