// Saves the mix, as the faders are set, to a file. The page makes it from the stems without playing anything.

import type { Job } from "../api/types";
import { mixDown } from "../audio/playback/mix";
import { openSegments } from "../audio/playback/open_track";
import { httpReader } from "../audio/playback/ranges";
import { mixName } from "../words/jobs";
import type { Strip, Studio } from "./studio";

/** The sample rate for stems whose rate the server does not tell. */
const DEFAULT_RATE_HZ = 44_100;

/** Returns the strips that can be heard. */
export function audibleStrips(studio: Studio): Strip[] {
  return studio.strips.filter((strip) => studio.mixedGain(strip) > 0);
}

/** Mixes the audible stems to a WAV file. */
export async function makeMix(studio: Studio, onProgress: (share: number) => void, signal: AbortSignal): Promise<Blob> {
  const strips = audibleStrips(studio);
  // The faders may be moved in the meantime.
  const gains = strips.map((strip) => studio.mixedGain(strip));
  const context = new OfflineAudioContext(1, 1, strips[0]?.stem.sample_rate_hz ?? DEFAULT_RATE_HZ);
  const opened = await Promise.all(strips.map(({ stem }) => openSegments(context, stem, httpReader(stem.url, signal))));
  return mixDown(opened.map((segments, place) => ({ segments, gain: gains[place]! })), onProgress, signal);
}

/** Returns a file name that says what is in the mix: "Song - vocals 20, accompaniment.wav". */
export function mixFilename(studio: Studio, job: Job): string {
  const parts = audibleStrips(studio).map((strip) => {
    const percent = Math.round(studio.mixedGain(strip) * 100);
    return percent === 100 ? strip.stem.name : `${strip.stem.name} ${percent}`;
  });
  return mixName(job, parts);
}
