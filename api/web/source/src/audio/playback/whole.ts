// A short file in a format that is not cut: decoded whole, as its only segment.

import type { ReadRange } from "./ranges";
import { NotSegmentable } from "../containers/cuttable";
import type { Segments } from "./segments";

export async function openWhole(read: ReadRange, size: number, context: BaseAudioContext): Promise<Segments> {
  const file = await read(0, size);
  const buffer = await context.decodeAudioData(file.slice().buffer).catch(() => {
    throw new NotSegmentable("The browser does not decode this format.");
  });
  return {
    sampleRate: buffer.sampleRate,
    totalSamples: buffer.length,
    segmentSamples: buffer.length,
    decode: () => Promise.resolve(buffer),
  };
}
