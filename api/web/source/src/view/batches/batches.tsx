// The list of batches, and one of them: its counts as a picture, its items, its reports.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import type { Batch } from "../../api/types";
import { ALL_BATCHES, batchPath, BATCHES_PATH, follow, openBatch } from "../../routes";
import { batches, batchesFault, batchesLoaded, endedItems, followBatches, hasOlderBatches, isBatchActive, loadOlderBatches, OpenBatch } from "../../state/batches";
import { ago } from "../../words/jobs";
import { batchTitle, batchWords } from "../../words/batches";
import { BatchActions } from "./batch_actions";
import { BatchItems, CountsPicture } from "./batch_items";
import { Icon } from "../icons";

export function Batches({ id }: { id: string }) {
  return id === ALL_BATCHES ? <BatchList /> : <OneBatch key={id} id={id} />;
}

/** Leads to the batches, where there are any. */
export function BatchesLink() {
  if (batches.value.length === 0) return null;
  return (
    <a class="to-batches" href={BATCHES_PATH} onClick={follow} aria-current={openBatch.value === ALL_BATCHES ? "page" : undefined}>
      Batches
    </a>
  );
}

function BatchList() {
  const busy = useSignal(false);
  useEffect(() => {
    const stop = new AbortController();
    document.title = "Batches – stemqueue";
    void followBatches(stop.signal);
    return () => stop.abort();
  }, []);
  const more = () => {
    busy.value = true;
    void loadOlderBatches().finally(() => (busy.value = false));
  };
  return (
    <div class="batches">
      <h1>Batches</h1>
      {batchesFault.value && <p role="alert">{batchesFault.value}</p>}
      {batchesLoaded.value && batches.value.length === 0 && <p class="quiet">None yet. Programs send them, through the API.</p>}
      {batches.value.length > 0 && (
        <ul class="jobs panel rows">
          {batches.value.map((batch) => (
            <BatchRow key={batch.id} batch={batch} />
          ))}
        </ul>
      )}
      {hasOlderBatches() && (
        <button type="button" class="small more" onClick={more} disabled={busy.value}>
          Show more
        </button>
      )}
    </div>
  );
}

function BatchRow({ batch }: { batch: Batch }) {
  return (
    <li>
      <a class="job-row" href={batchPath(batch.id)} onClick={follow}>
        <span class="file-name" dir="auto">{batchTitle(batch)}</span>
        <span class="job-row-note">
          {batchWords(batch)} · {ago(batch.created_at)}
        </span>
        {isBatchActive(batch) && (
          <progress max={Math.max(1, batch.total)} value={endedItems(batch)} aria-label={`Progress of ${batchTitle(batch)}`} />
        )}
      </a>
    </li>
  );
}

function OneBatch({ id }: { id: string }) {
  const open = useMemo(() => new OpenBatch(id), [id]);
  useEffect(() => {
    const stop = new AbortController();
    void open.follow(stop.signal);
    return () => stop.abort();
  }, [open]);
  const batch = open.batch.value;
  const problem = open.problem.value;
  useEffect(() => {
    if (batch) document.title = `${batchTitle(batch)} – stemqueue`;
  }, [batch]);
  return (
    <article class="batches">
      <a class="up" href={BATCHES_PATH} onClick={follow}>
        <Icon name="back" /> All batches
      </a>
      {!batch && !(problem && !problem.isTransient) && <p class="quiet loading">Loading…</p>}
      {!batch && problem && !problem.isTransient && <h1>{problem.status === 404 ? "There is no such batch" : problem.message}</h1>}
      {batch && (
        <>
          <header class="job-head">
            <div>
              <h1 class="file-name" dir="auto">{batchTitle(batch)}</h1>
              <p class="quiet" role="status">
                {batchWords(batch)}
              </p>
            </div>
            <BatchActions batch={batch} onChange={() => open.refresh()} />
          </header>
          {batch.error && <p class="warning">{batch.error.message}</p>}
          <section class="panel" aria-labelledby="items-title">
            <h2 id="items-title">Tracks</h2>
            <CountsPicture batch={batch} open={open} />
            <BatchItems open={open} />
          </section>
        </>
      )}
    </article>
  );
}
