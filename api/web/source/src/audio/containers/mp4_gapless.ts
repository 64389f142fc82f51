// What iTunes writes into its files about what the encoder put before the song. ffmpeg, which decodes for the worker,
// believes it more than the list of edits.

import { nameAt } from "./cuttable";
import { boxesIn, findBox } from "./mp4_boxes";

/** Numbers beyond are no encoder's. */
const MOST_PRIMING = 16_384;

/** Returns how many samples come before the song; null where the file does not tell. */
export function readPriming(moov: Uint8Array): number | null {
  const meta = findBox(moov, "udta", "meta");
  // Where it is a box of MP4 and not of QuickTime, a version comes first.
  const list = meta && (findBox(meta.subarray(4), "ilst") ?? findBox(meta, "ilst"));
  for (const { name, content } of list ? boxesIn(list) : []) {
    if (name !== "----" || text(findBox(content, "name"), 4) !== "iTunSMPB") continue;
    const [, priming] = text(findBox(content, "data"), 8).trim().split(/\s+/);
    const samples = parseInt(priming ?? "", 16);
    if (samples > 0 && samples < MOST_PRIMING) return samples;
  }
  return null;
}

function text(content: Uint8Array | undefined, from: number): string {
  return content ? nameAt(content, from, content.length) : "";
}
