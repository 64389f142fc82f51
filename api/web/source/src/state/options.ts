// What the next job is asked to be. Kept between visits, but for the excerpt.

import { effect, signal } from "@preact/signals";

import type { Excerpt } from "../api/types";
import { recall, remember } from "../storage";
import { durationOf } from "./files";

const STORED_AS = "stemqueue-options";

interface Options {
  /** Empty: the server's default. */
  engine: string;
  preset: string;
  format: string;
}

const DEFAULTS: Options = { engine: "", preset: "", format: "flac" };

export const options = signal<Options>(stored());

/** What of the song is done. `try` is twenty seconds from its middle. */
export type Part = "whole" | "try" | "chosen";
export const part = signal<Part>("whole");
export const chosenExcerpt = signal<{ start: number; duration: number }>({ start: 30, duration: 20 });

export const TRY_SECONDS = 20;

effect(() => remember(STORED_AS, JSON.stringify(options.value)));

/** Settles what part of songs is done; how long a song is, may be learned later. */
export function excerptWish(): (song: File) => Promise<Excerpt | null> {
  const [wanted, { start, duration }] = [part.value, chosenExcerpt.value];
  return async (song) => {
    if (wanted === "whole") return null;
    return wanted === "chosen" ? { start_seconds: start, duration_seconds: duration } : trialOf(await durationOf(song));
  };
}

function trialOf(durationSeconds: number | null): Excerpt | null {
  if (durationSeconds !== null && durationSeconds <= TRY_SECONDS) return null;
  // A third in, most songs are past their introduction and sing.
  const start = durationSeconds === null ? 30 : Math.min(durationSeconds / 3, durationSeconds - TRY_SECONDS);
  return { start_seconds: Math.round(start), duration_seconds: TRY_SECONDS };
}

/** Returns a request's fields; what is left to the server is left out. */
export function requestFields(): Record<string, string> {
  return Object.fromEntries(Object.entries(options.value).filter(([, value]) => value));
}

function stored(): Options {
  try {
    return { ...DEFAULTS, ...(JSON.parse(recall(STORED_AS) ?? "{}") as Partial<Options>) };
  } catch {
    return DEFAULTS;
  }
}
