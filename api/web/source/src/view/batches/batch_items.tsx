// A batch's items by their states: as a bar, as switches that choose which are listed, and as the list.

import { useSignal } from "@preact/signals";

import type { Batch, BatchItem, ItemState } from "../../api/types";
import { follow, jobPath } from "../../routes";
import type { OpenBatch } from "../../state/batches";
import { formatTime } from "../../words/jobs";
import { ITEM_STATES, ITEM_WORDS } from "../../words/batches";

export function CountsPicture({ batch, open }: { batch: Batch; open: OpenBatch }) {
  const states = ITEM_STATES.filter((state) => batch.counts[state] > 0);
  const choice = (state: ItemState | null, words: string, count: number) => (
    <button
      key={words}
      type="button"
      class={`small count item-${state ?? "any"}`}
      aria-pressed={open.state.value === state}
      onClick={() => void open.show(state)}
    >
      {words} <span class="count-number">{count.toLocaleString("en")}</span>
    </button>
  );
  return (
    <>
      <div class="counts-bar" aria-hidden="true">
        {states.map((state) => (
          <div key={state} class={`item-${state}`} style={{ flexGrow: batch.counts[state] }} />
        ))}
      </div>
      <div class="button-row counts" role="group" aria-label="Which tracks are listed">
        {choice(null, "All", batch.total)}
        {states.map((state) => choice(state, ITEM_WORDS[state], batch.counts[state]))}
      </div>
    </>
  );
}

export function BatchItems({ open }: { open: OpenBatch }) {
  const busy = useSignal(false);
  const more = () => {
    busy.value = true;
    void open.showMore().finally(() => (busy.value = false));
  };
  return (
    <>
      <ol class="jobs items">
        {open.items.value.map((item) => (
          <ItemRow key={item.number} item={item} />
        ))}
      </ol>
      {open.hasMore.value && (
        <button type="button" class="small more" onClick={more} disabled={busy.value}>
          {busy.value ? "Loading…" : "Show more"}
        </button>
      )}
    </>
  );
}

function ItemRow({ item }: { item: BatchItem }) {
  const note = [ITEM_WORDS[item.state], item.duration_seconds && formatTime(item.duration_seconds), item.error?.message];
  const content = (
    <>
      <span class="file-name" dir="auto">{item.track}</span>
      <span class="job-row-note">
        {item.number.toLocaleString("en")} · {note.filter(Boolean).join(" · ")}
      </span>
    </>
  );
  return (
    <li>
      {item.job_id ? (
        <a class={`job-row is-${item.state}`} href={jobPath(item.job_id)} onClick={follow}>
          {content}
        </a>
      ) : (
        <div class={`job-row is-${item.state === "invalid" ? "failed" : item.state}`}>{content}</div>
      )}
    </li>
  );
}
