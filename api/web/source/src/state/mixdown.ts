// Saves the mix, as the faders are set, to a file. The page makes it from the stems without playing anything.

import { postJson } from "../api/client";
import type { Job } from "../api/types";
import { mixDown } from "../audio/playback/mix";
import { openSegments } from "../audio/playback/open_track";
import { httpReader } from "../audio/playback/ranges";
import { mixName } from "../words/jobs";
import { putJob } from "./library";
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

/** Quieter stems are left out: the server mixes no gains below this. */
const LOWEST_DB = -60;

/** Has the server make the mix, as the faders are set, from the stems that it keeps; returns the id of the job that does it. */
export async function keepMix(studio: Studio): Promise<string> {
  const gains = studio.strips.map((strip) => {
    const decibels = 20 * Math.log10(studio.mixedGain(strip));
    return [strip.stem.name, decibels < LOWEST_DB ? null : Math.round(decibels * 100) / 100];
  });
  const mix = { name: "mix", gains_db: Object.fromEntries(gains), rest_db: null };
  const job = await postJson<Job>(`/v1/jobs/${studio.job.id}/mixes`, { mixes: [mix] });
  putJob(job);
  return job.id;
}
