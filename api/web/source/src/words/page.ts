// What the page's frame says: header, banner, library, and the question for an API key.

import { isActive, type Job } from "../api/types";
import { joinWords, partWords, progressWords, STATE_WORDS } from "./jobs";
import { ago, formatTime, plural } from "./numbers";

export const PAGE_WORDS = {
  name: "stemqueue",
  navigation: "More",
  newSong: "New song",
  forgetKey: "Forget the key",
  api: "API",
  serverAway: "The server does not answer. This page reconnects by itself.",
};

export const LIBRARY_WORDS = {
  title: "Library",
  searchLabel: "Search the library",
  search: "Search",
  loading: "Loading…",
  searching: "Searching…",
  noMatch: "No song matches.",
  empty: "Songs that you upload appear here until they expire.",
  more: "Show more",
};

export const foundWords = (count: number) => `${plural(count, "song")} found`;
export const songProgressLabel = (job: Job) => `Progress of ${job.source.filename}`;

/** Describes a job in one line: how far it is, or what it is and since when. */
export function jobRowWords(job: Job): string {
  if (isActive(job)) return progressWords(job);
  const seconds = (job.stems[0] ?? job.mixes[0])?.duration_seconds;
  return joinWords([
    job.state !== "succeeded" && STATE_WORDS[job.state],
    partWords(job) ?? (seconds && formatTime(seconds)),
    ago(job.times.created_at),
  ]);
}

export const KEY_WORDS = {
  title: "An API key is required",
  missing: "Ask the person who runs this server for a key.",
  refused: "The key was not accepted. Check that you copied all of it.",
  field: "API key",
  remember: "Remember it on this computer",
  submit: "Continue",
};
