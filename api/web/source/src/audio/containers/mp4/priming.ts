// Reads iTunes' note on how many samples the encoder added before the song (the tag iTunSMPB). ffmpeg, which decodes for
// the worker, trusts it more than the edit list.

import { textAt } from "../bytes";
import { boxesIn, findBox } from "./boxes";

/** No encoder adds more. */
const MAX_PRIMING_SAMPLES = 16_384;

/** Returns how many samples come before the song; null if the file does not say. */
export function readPriming(moov: Uint8Array): number | null {
  const meta = findBox(moov, "udta", "meta");
  // In MP4, unlike QuickTime, four bytes of version and flags come first.
  const list = meta && (findBox(meta.subarray(4), "ilst") ?? findBox(meta, "ilst"));
  for (const { name, content } of list ? boxesIn(list) : []) {
    if (name !== "----" || textFrom(findBox(content, "name"), 4) !== "iTunSMPB") continue;
    const [, priming] = textFrom(findBox(content, "data"), 8).trim().split(/\s+/);
    const samples = parseInt(priming ?? "", 16);
    if (samples > 0 && samples < MAX_PRIMING_SAMPLES) return samples;
  }
  return null;
}

function textFrom(content: Uint8Array | undefined, from: number): string {
  return content ? textAt(content, from, content.length) : "";
}
