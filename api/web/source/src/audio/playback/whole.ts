// Plays a short file in a format that cannot be cut: it is decoded whole, as its only segment.

import { ERROR_WORDS } from "../../words/errors";
import { UnsupportedFile, type ReadRange } from "../containers/audio_file";
import type { Segments } from "./segments";

/** Reads and decodes the whole file. Throws UnsupportedFile if the browser does not decode its format. */
export async function openWhole(read: ReadRange, size: number, context: BaseAudioContext): Promise<Segments> {
  const file = await read(0, size);
  const buffer = await context.decodeAudioData(file.slice().buffer).catch(() => {
    throw new UnsupportedFile(ERROR_WORDS.undecodable);
  });
  return {
    sampleRate: buffer.sampleRate,
    totalSamples: buffer.length,
    segmentSamples: buffer.length,
    decode: () => Promise.resolve(buffer),
  };
}
