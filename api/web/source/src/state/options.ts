// What the next job is asked to be. Kept between visits, but for the excerpt.

import { effect, signal } from "@preact/signals";

import type { Excerpt } from "../api/types";

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

effect(() => localStorage.setItem(STORED_AS, JSON.stringify(options.value)));

/** Returns the excerpt to ask for of a song that is this long, if that is known. */
export function excerptOf(durationSeconds: number | null): Excerpt | null {
  if (part.value === "whole") return null;
  if (part.value === "chosen") {
    return { start_seconds: chosenExcerpt.value.start, duration_seconds: chosenExcerpt.value.duration };
  }
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
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(STORED_AS) ?? "{}") as Partial<Options>) };
  } catch {
    return DEFAULTS;
  }
}
