// What the page says about batches and their items.

import { endedItems, type Batch, type BatchItem, type BatchState, type ItemState } from "../api/types";
import { documentTitle, joinWords, STATE_WORDS } from "./jobs";
import { formatCount, formatTime, plural } from "./numbers";

export const BATCH_WORDS = {
  title: "Batches",
  none: "No batches yet. Programs create them through the API.",
  back: "All batches",
  loading: "Loading…",
  missing: "There is no such batch",
  tracks: "Tracks",
  filter: "Which tracks are listed",
  all: "All",
  more: "Show more",
  cancel: "Cancel",
};

export const ITEM_WORDS: Record<ItemState, string> = { ...STATE_WORDS, waiting: "Waiting", invalid: "Invalid line" };

/** The states as the picture shows them: done, gone wrong, in progress, still to come. */
export const ITEM_STATES: readonly ItemState[] = ["succeeded", "failed", "invalid", "canceled", "running", "queued", "waiting"];

const BATCH_STATES: Record<BatchState, string> = {
  reading: "Reading the list",
  running: "Running",
  ended: "Ended",
  canceled: "Canceled",
};

export const retryWords = (count: number) => `Try ${plural(count, "track")} again`;
export const reportWords = (format: string) => `Report as ${format.toUpperCase()}`;
export const batchProgressLabel = (batch: Batch) => `Progress of ${batchTitle(batch)}`;

export function batchTitle(batch: Batch): string {
  return batch.name ?? `Batch of ${new Date(batch.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`;
}

/** The browser's title for one batch, or for the list of batches. */
export function batchDocumentTitle(batch?: Batch): string {
  return documentTitle(batch ? batchTitle(batch) : BATCH_WORDS.title);
}

/** Describes how far a batch is, in one line. */
export function batchWords(batch: Batch): string {
  const errors = batch.counts.failed + batch.counts.invalid;
  const ended = `${formatCount(endedItems(batch))} of ${plural(batch.total, "track")}`;
  return joinWords([BATCH_STATES[batch.state], ended, errors > 0 && `${formatCount(errors)} with errors`]);
}

/** Describes an item of a batch, in one line. */
export function itemWords(item: BatchItem): string {
  const { number, state, duration_seconds: duration, error } = item;
  return joinWords([formatCount(number), ITEM_WORDS[state], duration && formatTime(duration), error?.message]);
}
