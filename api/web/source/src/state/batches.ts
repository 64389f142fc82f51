// The batches that the server knows, and the one that is open. Programs create batches; the page only shows them.

import { signal } from "@preact/signals";

import { Problem, requestJson } from "../api/client";
import { isBatchActive, type Batch, type BatchItem, type BatchPage, type ItemPage, type ItemState } from "../api/types";
import { pause } from "../api/watch";

const PAGE_BATCHES = 50;
const PAGE_ITEMS = 50;

/** The server sends no more items per request. */
const MAX_ITEMS = 500;

const ACTIVE_SECONDS = 2;
const IDLE_SECONDS = 15;

export const batches = signal<readonly Batch[]>([]);
export const batchesFault = signal<string | null>(null);
export const batchesLoaded = signal(false);
const older = signal<string | null>(null);
export const hasOlderBatches = () => older.value !== null;

/** Reads the newest batches, as many as are shown. */
export async function refreshBatches(stop?: AbortSignal): Promise<void> {
  try {
    const limit = Math.min(200, Math.max(PAGE_BATCHES, batches.value.length));
    const page = await requestJson<BatchPage>(`/v1/batches?limit=${limit}`, stop ? { signal: stop } : {});
    batches.value = page.batches;
    older.value = page.next_starting_after;
    batchesFault.value = null;
    batchesLoaded.value = true;
  } catch (error) {
    if (!stop?.aborted) batchesFault.value = words(error);
  }
}

export async function loadOlderBatches(): Promise<void> {
  const page = await requestJson<BatchPage>(`/v1/batches?limit=${PAGE_BATCHES}&starting_after=${older.value}`);
  batches.value = [...batches.value, ...page.batches];
  older.value = page.next_starting_after;
}

export async function followBatches(stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    if (document.visibilityState === "visible") await refreshBatches(stop);
    await pause(batches.value.some(isBatchActive) ? ACTIVE_SECONDS : IDLE_SECONDS, stop);
  }
}

/** The batch that is open, with as many of its items as the reader asked for. */
export class OpenBatch {
  readonly batch = signal<Batch | null>(null);
  readonly items = signal<readonly BatchItem[]>([]);
  readonly hasMore = signal(false);
  readonly problem = signal<Problem | null>(null);
  /** Only items in this state are listed; null lists all. */
  readonly state = signal<ItemState | null>(null);
  private wanted = PAGE_ITEMS;

  constructor(readonly id: string) {}

  async follow(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      if (document.visibilityState === "visible" || !this.batch.value) await this.refresh(stop);
      if (this.problem.value && !this.problem.value.isTransient) return;
      await pause(this.batch.value && !isBatchActive(this.batch.value) ? IDLE_SECONDS : ACTIVE_SECONDS, stop);
    }
  }

  /** Reads the batch and all items that are listed: any of them may have changed. */
  async refresh(stop?: AbortSignal): Promise<void> {
    const init = stop ? { signal: stop } : {};
    try {
      this.batch.value = await requestJson<Batch>(`/v1/batches/${this.id}`, init);
      await this.readItems(init);
      this.problem.value = null;
    } catch (error) {
      if (error instanceof Problem) this.problem.value = error;
    }
  }

  async show(state: ItemState | null): Promise<void> {
    this.state.value = state;
    this.wanted = PAGE_ITEMS;
    await this.refresh();
  }

  async showMore(): Promise<void> {
    this.wanted += PAGE_ITEMS;
    await this.refresh();
  }

  private async readItems(init: RequestInit): Promise<void> {
    const { value: state } = this.state;
    const { wanted } = this;
    const items: BatchItem[] = [];
    let after = 0;
    let more = true;
    while (more && items.length < wanted) {
      const limit = Math.min(MAX_ITEMS, wanted - items.length);
      const query = new URLSearchParams({ limit: String(limit), ...(state && { state }), ...(after && { starting_after: String(after) }) });
      const page = await requestJson<ItemPage>(`/v1/batches/${this.id}/items?${query}`, init);
      items.push(...page.items);
      more = page.has_more;
      after = page.next_starting_after ?? 0;
    }
    // The reader has asked for something else in the meantime; that request updates the list.
    if (state !== this.state.value || wanted !== this.wanted) return;
    this.items.value = items;
    this.hasMore.value = more;
  }
}

function words(error: unknown): string {
  return error instanceof Problem ? error.message : String(error);
}
