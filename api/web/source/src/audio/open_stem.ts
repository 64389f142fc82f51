// Chooses how a stem is played: cut into segments where its format allows, whole if it is short, else by an element.

import type { Stem } from "../api/types";
import { ElementTrack } from "./element_track";
import { openFlac } from "./flac";
import { openMp3 } from "./mp3";
import { rangesOf, type ReadRange } from "./ranges";
import { SegmentedTrack } from "./segmented_track";
import { NotSegmentable, type Segments } from "./segments";
import type { Track } from "./track";
import { openWav } from "./wav";
import { openWhole } from "./whole";

/** What one stem may take when it is decoded whole: two such, and one at work, stay far below 400 MB. */
const MOST_WHOLE_BYTES = 60e6;

type Open = (read: ReadRange, size: number) => Promise<Segments>;

const CUTTERS: Record<string, Open> = { flac: openFlac, wav: openWav, mp3: openMp3 };

/** `playable` gives an address that a media element can play, which cannot send a key. */
export async function openStem(
  context: AudioContext,
  stem: Stem,
  playable: (url: string) => Promise<string>,
  signal: AbortSignal,
): Promise<Track> {
  const read = rangesOf(stem.url, signal);
  try {
    const cut = CUTTERS[stem.format];
    if (cut) {
      const segments = await cut(read, stem.size_bytes);
      if (segments.sampleRate !== context.sampleRate) throw new NotSegmentable("The context plays at another rate.");
      return new SegmentedTrack(context, segments);
    }
    if (bytesDecoded(stem, context) <= MOST_WHOLE_BYTES) {
      return new SegmentedTrack(context, await openWhole(read, stem.size_bytes, context));
    }
  } catch (error) {
    if (!(error instanceof NotSegmentable)) throw error;
  }
  return new ElementTrack(context, await playable(stem.url));
}

function bytesDecoded(stem: Stem, context: AudioContext): number {
  return (stem.duration_seconds ?? Infinity) * context.sampleRate * (stem.channels ?? 2) * 4;
}
