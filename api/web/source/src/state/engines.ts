// The engines, formats and limits of the server. They are read at the start, and again after the server was away.

import { computed, signal } from "@preact/signals";

import { Problem, requestJson, server } from "../api/client";
import type { Engine, Engines, Job } from "../api/types";

export const engines = signal<Engines | null>(null);
export const enginesFault = signal<string | null>(null);

export const defaultEngine = computed<Engine | undefined>(() => {
  const known = engines.value;
  return known?.engines.find((engine) => engine.name === known.default_engine) ?? known?.engines[0];
});

export function engineTitle(name: string): string {
  return engines.value?.engines.find((engine) => engine.name === name)?.title ?? name;
}

/** Whether an output is a mix. If the job that made it is not known, its name tells: mixes never have that of a stem. */
export function isMix(output: string, maker: Job | undefined): boolean {
  if (maker?.state === "succeeded") return maker.mixes.some(({ name }) => name === output);
  const known = engines.value?.engines ?? [];
  return known.length > 0 && !known.some(({ stems, derived_stems }) => [...stems, ...derived_stems].includes(output));
}

/** Whether the job has every stem that its engine makes. For an engine that no worker has now, this is a guess. */
export function hasAllStems(job: Job): boolean {
  const engine = engines.value?.engines.find(({ name }) => name === job.engine);
  if (!engine) return job.stems.length > 1;
  return engine.stems.every((name) => job.stems.some((stem) => stem.name === name));
}

/** The format that holds the song and its stems in one file. */
export const STEM_FILE = "stem.mp4";

/** Whether the job's stems can be joined into a stem file. */
export function canBeStemFile(job: Job): boolean {
  const engine = engines.value?.engines.find(({ name }) => name === job.engine);
  return hasAllStems(job) && suitableFormat(STEM_FILE, engine) === STEM_FILE;
}

/** Returns the wanted format, or FLAC if the engine lacks stems that the format needs. */
export function suitableFormat(wanted: string, engine: Engine | undefined): string {
  return offeredFormats(engine).some(({ name }) => name === wanted) ? wanted : "flac";
}

/** The formats that an engine's stems can have. */
export function offeredFormats(engine: Engine | undefined): Engines["formats"] {
  const all = engines.value?.formats ?? [];
  return all.filter((format) => format.needed_stems.every((stem) => engine?.stems.includes(stem)));
}

/** While its workers start, a server has no engines yet. */
const RETRY_MILLISECONDS = 3000;

let again: number | undefined;

export async function loadEngines(): Promise<void> {
  try {
    engines.value = await requestJson<Engines>("/v1/engines");
    enginesFault.value = null;
  } catch (error) {
    enginesFault.value = error instanceof Problem ? error.message : String(error);
  }
  window.clearTimeout(again);
  if (!engines.value?.engines.length) again = window.setTimeout(() => void loadEngines(), RETRY_MILLISECONDS);
}

server.addEventListener("back", () => void loadEngines());
