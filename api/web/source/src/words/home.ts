// What the page says where songs are uploaded: drop zone, options, and uploads in progress.

import type { Engine, Engines, Preset } from "../api/types";
import audioFormats from "../audio_formats.json";
import { formatBytes, formatDb, formatPercent, formatSpan, plural } from "./numbers";

export const HOME_WORDS = {
  title: "Separate a song",
  lead: "Drop a song to get its vocals and its accompaniment. Listen to them, mix them, and download them.",
  drop: "Drop songs or folders here",
  release: "Drop to upload",
  choose: "Choose files",
  noWorker: "No worker is running right now. You can upload songs; they wait until one starts.",
};

export const OPTION_WORDS = {
  part: "How much of the song",
  whole: "The whole song",
  chosen: "A part",
  from: "from",
  for: "for",
  seconds: "s",
  summary: "Engine and format",
  loading: "Loading the engines…",
  format: "Format",
  engine: "Engine",
  preset: "Preset",
  more: "More options",
  audioStream: "Audio stream",
  mainStream: "main",
  audioStreamHint: "A film may have several audio streams, for example one for each language. Leave this empty for the main one; 1 is the first.",
};

export const audioStreamWords = (number: number) => `audio stream ${number}`;

export const trialWords = (seconds: number) => `Try ${seconds} seconds first`;

const FORMAT_TITLES: Record<string, string> = audioFormats.formats;

export function formatWords(name: string): string {
  return FORMAT_TITLES[name] ?? name;
}

/** Says which files are accepted; `limits` is null until the server has told them. */
export function acceptedWords(limits: Engines | null): string {
  const formats = "MP3, FLAC, WAV, M4A, Ogg and most others";
  return limits ? `${formats} · up to ${formatBytes(limits.max_upload_bytes)} and ${formatSpan(limits.max_audio_seconds)}` : formats;
}

export function presetWords({ description, max_seconds: longest }: Preset): string {
  return longest ? `${description} Songs of up to ${Math.round(longest / 60)} min.` : description;
}

/** The page shows time and memory for a song of this length. */
const SONG_SECONDS = 240;

/** Returns an engine's scores, its time and memory on this server, its author and its licence. */
export function engineFacts(engine: Engine, preset: Preset | undefined): string[] {
  const scores = Object.entries(preset?.scores ?? {}).map(
    ([name, value]) => `${name.replace("_sdr_db", "")} ${formatDb(value)}`,
  );
  const time = engine.real_time_factor && `about ${formatSpan(SONG_SECONDS / engine.real_time_factor)}`;
  const cost = [time, engine.memory_bytes && `${formatBytes(engine.memory_bytes)} of memory`].filter(Boolean);
  return [
    scores.length > 0 && `SDR: ${scores.join(", ")}${engine.scores_from && `, on ${engine.scores_from}`}.`,
    cost.length > 0 && `A song of four minutes takes ${cost.join(" and ")} here.`,
    engine.author && `By ${engine.author}.`,
    engine.licence && `Licence: ${engine.licence}`,
  ].filter((fact): fact is string => Boolean(fact));
}

export const UPLOAD_WORDS = {
  uploading: "Uploading",
  failed: "Not uploaded",
  waiting: "Waiting",
  checking: "Checking",
  retry: "Try again",
  empty: "This file is empty.",
};

/** Says how many files of dropped folders are not uploaded, and names the first few. */
export function leftOutWords(paths: readonly string[]): string {
  const more = paths.length > 5 ? ", …" : ".";
  return `${plural(paths.length, "file")} left out, not audio by name: ${paths.slice(0, 5).join(", ")}${more} To upload such a file anyway, drop it alone.`;
}

export const uploadLabel = (name: string) => `Upload of ${name}`;
export const dismissLabel = (name: string) => `Dismiss ${name}`;
export const cancelUploadLabel = (name: string) => `Cancel the upload of ${name}`;
export const uploadProgress = (fraction: number, size: number) => `${formatPercent(fraction)} of ${formatBytes(size)}`;
export const tooLarge = (size: number, limit: number) => `This file is too large (${formatBytes(size)}). The limit is ${formatBytes(limit)}.`;
