// Batches and their items in words.

import type { Batch, BatchState, ItemState } from "../api/types";
import { endedItems } from "../state/batches";
import { plural, STATE_WORDS } from "./jobs";

export const ITEM_WORDS: Record<ItemState, string> = { ...STATE_WORDS, queued: "In line", waiting: "Waiting", invalid: "Bad line" };

/** In the order of the picture: what is done, what went wrong, what goes on, what is to come. */
export const ITEM_STATES: readonly ItemState[] = ["succeeded", "failed", "invalid", "canceled", "running", "queued", "waiting"];

const BATCH_WORDS: Record<BatchState, string> = {
  reading: "Reading its list",
  running: "Working",
  ended: "Ended",
  canceled: "Canceled",
};

export function batchTitle(batch: Batch): string {
  return batch.name ?? `Batch of ${new Date(batch.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`;
}

/** One line on how a batch stands. */
export function batchWords(batch: Batch): string {
  const { failed, invalid } = batch.counts;
  const bad = failed + invalid ? [`${(failed + invalid).toLocaleString("en")} went wrong`] : [];
  const done = `${endedItems(batch).toLocaleString("en")} of ${plural(batch.total, "track")}`;
  return [BATCH_WORDS[batch.state], done, ...bad].join(" · ");
}
