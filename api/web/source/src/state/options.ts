// The options for the next job. Except for the excerpt, the browser remembers them.

import { computed, effect, signal } from "@preact/signals";

import type { Engine, Excerpt } from "../api/types";
import { recall, remember } from "../storage";
import { defaultEngine, engines, suitableFormat } from "./engines";
import { durationOf } from "./files";

const STORED_AS = "stemqueue-options";

interface Options {
  /** Empty for the server's default. */
  engine: string;
  preset: string;
  format: string;
}

const DEFAULTS: Options = { engine: "", preset: "", format: "flac" };

export const options = signal<Options>(storedOptions());

/** Which part of the song is separated. `try` is a short excerpt. */
export type Part = "whole" | "try" | "chosen";
export const part = signal<Part>("whole");
export const chosenExcerpt = signal<{ start: number; duration: number }>({ start: 30, duration: 20 });

export const TRY_SECONDS = 20;

/** Which audio stream of a film is separated, counted from 1; null for its main one. Not remembered: it is about one file. */
export const audioStream = signal<number | null>(null);

/** The highest number that the API takes. */
export const MAX_AUDIO_STREAM = 1000;

effect(() => remember(STORED_AS, JSON.stringify(options.value)));

/** Returns a function that chooses a song's excerpt by the options as they are now. It may need the song's duration. */
export function chooseExcerpt(): (song: File) => Promise<Excerpt | null> {
  const [wanted, { start, duration }] = [part.value, chosenExcerpt.value];
  return async (song) => {
    if (wanted === "whole") return null;
    return wanted === "chosen" ? { start_seconds: start, duration_seconds: duration } : trialExcerpt(await durationOf(song));
  };
}

function trialExcerpt(durationSeconds: number | null): Excerpt | null {
  if (durationSeconds !== null && durationSeconds <= TRY_SECONDS) return null;
  // After a third, most songs are past their introduction.
  const start = durationSeconds === null ? 30 : Math.min(durationSeconds / 3, durationSeconds - TRY_SECONDS);
  return { start_seconds: Math.round(start), duration_seconds: TRY_SECONDS };
}

/** The engine of the next job. */
export const chosenEngine = computed<Engine | undefined>(
  () => engines.value?.engines.find(({ name }) => name === options.value.engine) ?? defaultEngine.value,
);

/** The format of the next job. A format that needs stems which the chosen engine lacks is remembered, and not used. */
export const chosenFormat = computed(() =>
  engines.value ? suitableFormat(options.value.format, chosenEngine.value) : options.value.format,
);

/** Returns the request's fields, without those that are left to the server. */
export function requestFields(): Record<string, string | number> {
  const fields: Record<string, string | number | null> = {
    ...options.value,
    format: chosenFormat.value,
    audio_stream: audioStream.value,
  };
  return Object.fromEntries(Object.entries(fields).filter((field): field is [string, string | number] => Boolean(field[1])));
}

function storedOptions(): Options {
  try {
    return { ...DEFAULTS, ...(JSON.parse(recall(STORED_AS) ?? "{}") as Partial<Options>) };
  } catch {
    return DEFAULTS;
  }
}
