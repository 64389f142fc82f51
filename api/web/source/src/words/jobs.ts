// What the page says about a job: its state, its progress, how it ended, and what can be done with it.

import type { Job, JobState } from "../api/types";
import { capitalised, formatCount, formatPercent, formatSpan, formatTime, plural } from "./numbers";

export const JOB_WORDS = {
  back: "All songs",
  cancel: "Cancel",
  cancelFollowers: "Cancel the jobs after it",
  retry: "Try again",
  downloadAll: "Download all",
  delete: "Delete",
  confirmDelete: "Delete permanently?",
  deleteNow: "Delete song and stems",
  keep: "Keep",
  running: "Separating",
  queued: "In the queue",
  progressLabel: "Progress of this song",
  mayLeave: "You can close this page. The work continues, and this address stays valid.",
  failed: "This song could not be separated",
  failedWithoutReason: "The server gave no reason.",
  canceled: "Canceled",
  nothingKept: "No stems were kept.",
  loading: "Loading…",
  missing: "There is no such song",
  missingReason: "It may have been deleted, or it has expired.",
  unreadable: "This song cannot be shown",
  wholeSong: "The whole song",
  separateWhole: "Separate the whole song",
  otherEngine: "Separate it with another engine:",
  earlierJob: "an earlier job",
  continuedWith: "Continued with",
};

/** `output` is the stem or mix that this job separates; null if the job mixes stems. */
export const madeFrom = (output: string | null, isMix = false) => `Made from ${outputWords(output ?? "stems", isMix)} of`;

/** Names a stem, such as "the drums", or a mix, whose name a user has chosen. */
export const outputWords = (output: string, isMix: boolean) => (isMix ? `the mix “${output}”` : `the ${output}`);

export const errorCode = (code: string) => `Code: ${code}`;
export const attemptWords = (attempt: number) => `Attempt ${attempt}: the previous one was interrupted.`;
export const excerptOffer = (job: Job) => `You are listening to ${partWords(job)}.`;
export const archiveName = (job: Job) => `${songName(job)} - stems.zip`;
export const mixName = (job: Job, parts: readonly string[]) => `${songName(job)} - ${parts.join(", ")}.wav`;

export const STATE_WORDS: Record<JobState, string> = {
  queued: "Queued",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  canceled: "Canceled",
};

/** The worker's stages in their order. */
export const STAGES: readonly (readonly [name: string, words: string])[] = [
  ["fetch", "Fetching the song"],
  ["probe", "Checking the file"],
  ["decode", "Decoding"],
  ["separate", "Separating"],
  ["encode", "Writing the stems"],
  ["illustrate", "Drawing pictures"],
  ["upload", "Storing the stems"],
];

/** Why a job does not go on while the storage is away. */
const WAITING_WORDS = "Waiting for the server's storage";
const WAITING_FOR_SOURCE = "Waiting for the earlier job";

/** Describes how far a job is, in one line. */
export function progressWords(job: Job): string {
  if (job.waiting_for === "storage") return WAITING_WORDS;
  if (job.waiting_for === "source") return WAITING_FOR_SOURCE;
  if (job.state === "queued") {
    if (job.attempt > 0) return "Waiting for a retry";
    return job.queue_position ? `Number ${formatCount(job.queue_position)} in the queue` : STATE_WORDS.queued;
  }
  if (job.state === "running") return `${stageWords(job.stage)}, ${formatPercent(job.progress)}`;
  return STATE_WORDS[job.state];
}

function stageWords(stage: string | null): string {
  return STAGES.find(([name]) => name === stage)?.[1] ?? "Starting";
}

/** Describes when a job will be done; empty if the server cannot tell. */
export function timeLeftWords(job: Job): string {
  if (job.eta_seconds === null) return "";
  if (job.state === "running") return `about ${formatSpan(job.eta_seconds)} left`;
  const ahead = (job.queue_position ?? 1) - 1;
  return `${ahead > 0 ? `${plural(ahead, "song")} ahead, ` : ""}ready in about ${formatSpan(job.eta_seconds)}`;
}

/** Describes a job's audio and how it is separated, in one line. */
export function describeJob(job: Job, engineTitle: string): string {
  const { channels, sample_rate_hz: rate } = job.source;
  return joinWords([
    capitalised(partWords(job) ?? ""),
    rate && `${rate / 1000} kHz`,
    channels && (["", "mono", "stereo"][channels] ?? `${channels} channels`),
    engineTitle,
    job.preset,
    job.format.toUpperCase(),
  ]);
}

/** Describes the part of the song that a job separates; null if it is the whole song. */
export function partWords(job: Job): string | null {
  if (!job.excerpt) return null;
  const { start_seconds: start, duration_seconds: duration } = job.excerpt;
  return duration === null ? `the song from ${formatTime(start)}` : `${formatSpan(duration)} from ${formatTime(start)}`;
}

/** The song's file name without its extension. */
function songName(job: Job): string {
  return job.source.filename.replace(/\.[^.]+$/, "");
}

export function documentTitle(...parts: string[]): string {
  return [...parts, "stemqueue"].join(" – ");
}

export function jobTitle(job: Job): string {
  const percent = job.state === "running" ? `${formatPercent(job.progress)} · ` : "";
  return documentTitle(percent + job.source.filename);
}

/** Joins the words that are not empty into one line. */
export function joinWords(words: readonly (string | number | null | undefined | false)[]): string {
  return words.filter(Boolean).join(" · ");
}
