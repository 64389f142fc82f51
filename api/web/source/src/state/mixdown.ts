// The mix as it is set, as a file: made here, of the stems, without anything being played.

import type { Job } from "../api/types";
import { mixDown } from "../audio/playback/mix";
import { openSegments } from "../audio/playback/open_track";
import { httpReader } from "../audio/playback/ranges";
import { songName } from "../words/jobs";
import type { Strip, Studio } from "./studio";

/** What opens a stem where its rate is not told: any decoder's own. */
const COMMON_RATE_HZ = 44_100;

export function heardStrips(studio: Studio): Strip[] {
  return studio.strips.filter((strip) => studio.mixedGain(strip) > 0);
}

export async function makeMix(studio: Studio, onProgress: (share: number) => void, signal: AbortSignal): Promise<Blob> {
  const strips = heardStrips(studio);
  // What is set now: the faders may be moved meanwhile.
  const gains = strips.map((strip) => studio.mixedGain(strip));
  const context = new OfflineAudioContext(1, 1, strips[0]?.stem.sample_rate_hz ?? COMMON_RATE_HZ);
  const opened = await Promise.all(strips.map(({ stem }) => openSegments(context, stem, httpReader(stem.url, signal))));
  return mixDown(opened.map((segments, place) => ({ segments, gain: gains[place]! })), onProgress, signal);
}

/** Says what is in it: "Song - vocals 20, accompaniment.wav". */
export function mixName(studio: Studio, job: Job): string {
  const parts = heardStrips(studio).map((strip) => {
    const percent = Math.round(studio.mixedGain(strip) * 100);
    return percent === 100 ? strip.stem.name : `${strip.stem.name} ${percent}`;
  });
  return `${songName(job)} - ${parts.join(", ")}.wav`;
}
