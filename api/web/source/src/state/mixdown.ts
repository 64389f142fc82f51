// Saves the mix, as the faders are set, to a file. The page makes it from the stems without playing anything.

import { postJson } from "../api/client";
import type { Job, Stem } from "../api/types";
import { mixDown } from "../audio/playback/mix";
import { openSegments } from "../audio/playback/open_track";
import { httpReader } from "../audio/playback/ranges";
import { mixName } from "../words/jobs";
import { STEM_FILE } from "./engines";
import { putJob } from "./library";
import type { Studio } from "./studio";

/** The sample rate for stems whose rate the server does not tell. */
const DEFAULT_RATE_HZ = 44_100;

/** One stem of a mix. */
interface MixedStem {
  stem: Stem;
  gain: number;
}

/** Returns the mix as it is set now: the stems that can be heard, and their gains. Whoever keeps a mix elsewhere needs no more. */
export function currentMix(studio: Studio): MixedStem[] {
  return studio.strips.map((strip) => ({ stem: strip.stem, gain: studio.mixedGain(strip) })).filter(({ gain }) => gain > 0);
}

/** Renders a mix to a WAV file. */
export async function renderMix(mix: readonly MixedStem[], onProgress: (share: number) => void, signal: AbortSignal): Promise<Blob> {
  const context = new OfflineAudioContext(1, 1, mix[0]?.stem.sample_rate_hz ?? DEFAULT_RATE_HZ);
  const opening = mix.map(async ({ stem, gain }) => ({ segments: await openSegments(context, stem, httpReader(stem.url, signal)), gain }));
  return mixDown(await Promise.all(opening), onProgress, signal);
}

/** Returns a file name that says what is in the mix: "Song - vocals 20, accompaniment.wav". */
export function mixFilename(mix: readonly MixedStem[], job: Job): string {
  const parts = mix.map(({ stem, gain }) => {
    const percent = Math.round(gain * 100);
    return percent === 100 ? stem.name : `${stem.name} ${percent}`;
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
  return makeMixes(studio, { mixes: [{ name: "mix", gains_db: Object.fromEntries(gains), rest_db: null }] });
}

/** Has the server join the stems into a stem file; returns the id of the job that does it. */
export const makeStemFile = (studio: Studio): Promise<string> => makeMixes(studio, { format: STEM_FILE });

async function makeMixes(studio: Studio, wanted: object): Promise<string> {
  const job = await postJson<Job>(`/v1/jobs/${studio.job.id}/mixes`, wanted);
  putJob(job);
  return job.id;
}
