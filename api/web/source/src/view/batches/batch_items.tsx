// A batch's items: a bar of their states, buttons that filter by state, and the list.

import { useSignal } from "@preact/signals";

import type { Batch, BatchItem, ItemState } from "../../api/types";
import { followLink, jobPath } from "../../routes";
import type { OpenBatch } from "../../state/batches";
import { BATCH_WORDS, ITEM_STATES, ITEM_WORDS, itemWords } from "../../words/batches";
import { formatCount } from "../../words/numbers";

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
      {words} <span class="count-number">{formatCount(count)}</span>
    </button>
  );
  return (
    <>
      <div class="counts-bar" aria-hidden="true">
        {states.map((state) => (
          <div key={state} class={`item-${state}`} style={{ flexGrow: batch.counts[state] }} />
        ))}
      </div>
      <div class="button-row counts" role="group" aria-label={BATCH_WORDS.filter}>
        {choice(null, BATCH_WORDS.all, batch.total)}
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
          {busy.value ? BATCH_WORDS.loading : BATCH_WORDS.more}
        </button>
      )}
    </>
  );
}

function ItemRow({ item }: { item: BatchItem }) {
  const content = (
    <>
      <span class="file-name" dir="auto">{item.track}</span>
      <span class="job-row-note">{itemWords(item)}</span>
    </>
  );
  return (
    <li>
      {item.job_id ? (
        <a class={`job-row is-${item.state}`} href={jobPath(item.job_id)} onClick={followLink}>
          {content}
        </a>
      ) : (
        <div class={`job-row is-${item.state === "invalid" ? "failed" : item.state}`}>{content}</div>
      )}
    </li>
  );
}
