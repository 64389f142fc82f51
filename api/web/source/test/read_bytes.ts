// Reads files in memory as the page reads files over HTTP.

import type { ReadRange } from "../src/audio/containers/audio_file";
import { decode } from "./ffmpeg";

/** Counts what a reader asks for. */
export interface Counts {
  reads: number;
  bytes: number;
}

/** Returns a function that reads these bytes, and counts. */
export function readerOf(file: Uint8Array, counts: Counts = { reads: 0, bytes: 0 }): ReadRange {
  return async (start, stop) => {
    const bytes = file.slice(start, stop);
    counts.reads++;
    counts.bytes += bytes.length;
    return bytes;
  };
}

/** Stands in for the browser's decoder, which tells the Ogg reader how many samples a Vorbis page decodes to. */
export function installDecoder(count: (file: Uint8Array) => number = (file) => decode(file, ["-ac", "1"]).length): void {
  class OfflineAudioContext {
    async decodeAudioData(file: ArrayBuffer): Promise<{ length: number }> {
      const length = count(new Uint8Array(file));
      if (!length) throw new Error("The file decodes to nothing.");
      return { length };
    }
  }
  Object.assign(globalThis, { OfflineAudioContext });
}
