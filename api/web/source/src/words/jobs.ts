// Numbers and states in words.

import type { Job, JobState } from "../api/types";

export function formatTime(seconds: number): string {
  const whole = Math.floor(Math.max(0, seconds));
  const minutes = Math.floor(whole / 60);
  const rest = String(whole % 60).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** As `formatTime`, with tenths: for the play head and loops. */
export function formatExactTime(seconds: number): string {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  return `${formatTime(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/** A time as a screen reader says it well. */
export function spokenTime(seconds: number): string {
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = plural(whole % 60, "second");
  return minutes ? `${plural(minutes, "minute")} ${rest}` : rest;
}

export function formatSpan(seconds: number): string {
  if (seconds < 1) return "a moment";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const units = ["kB", "MB", "GB"];
  let value = bytes;
  let unit = "";
  while (value >= 1000 && units.length) {
    value /= 1000;
    unit = units.shift()!;
  }
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${unit}`;
}

export function formatDb(value: number | null, unit = "dB"): string {
  return value === null ? "silent" : `${value.toFixed(1).replace("-", "−")} ${unit}`;
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

export function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function ago(moment: string): string {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export const STATE_WORDS: Record<JobState, string> = {
  queued: "Waiting",
  running: "Working",
  succeeded: "Done",
  failed: "Failed",
  canceled: "Canceled",
};

/** The worker's stages as a reader would say them, in their order. */
export const STAGES: readonly (readonly [name: string, words: string])[] = [
  ["fetch", "Fetching the song"],
  ["probe", "Looking at the file"],
  ["decode", "Decoding"],
  ["separate", "Separating"],
  ["encode", "Writing the stems"],
  ["illustrate", "Drawing"],
  ["upload", "Storing"],
];

export function stageWords(stage: string | null): string {
  return STAGES.find(([name]) => name === stage)?.[1] ?? "Starting";
}

/** One line on how a job stands. */
export function progressWords(job: Job): string {
  if (job.state === "queued") {
    if (job.attempt > 0) return "Waiting to be tried again";
    return job.queue_position ? `Number ${job.queue_position.toLocaleString("en")} in line` : "Waiting in line";
  }
  if (job.state === "running") return `${stageWords(job.stage)}, ${Math.floor(job.progress * 100)} %`;
  return STATE_WORDS[job.state];
}

/** A song's file without its ending. */
export function songName(job: Job): string {
  return job.source.filename.replace(/\.[^.]+$/, "");
}

export function partWords(job: Job): string | null {
  if (!job.excerpt) return null;
  const { start_seconds: start, duration_seconds: duration } = job.excerpt;
  return duration === null ? `from ${formatTime(start)}` : `${formatSpan(duration)} from ${formatTime(start)}`;
}
