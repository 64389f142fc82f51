// The list of batches, and the view of one batch.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { endedItems, isBatchActive, type Batch } from "../../api/types";
import { ALL_BATCHES, batchPath, BATCHES_PATH, followLink, openBatch } from "../../routes";
import { batches, batchesFault, batchesLoaded, followBatches, hasOlderBatches, loadOlderBatches, OpenBatch } from "../../state/batches";
import { batchDocumentTitle, batchProgressLabel, BATCH_WORDS, batchTitle, batchWords } from "../../words/batches";
import { joinWords } from "../../words/jobs";
import { ago } from "../../words/numbers";
import { BatchActions } from "./batch_actions";
import { BatchItems, CountsPicture } from "./batch_items";
import { Icon } from "../icons";

export function Batches({ id }: { id: string }) {
  return id === ALL_BATCHES ? <BatchList /> : <OneBatch key={id} id={id} />;
}

/** The link to the batches; nothing if there are none. */
export function BatchesLink() {
  if (batches.value.length === 0) return null;
  return (
    <a class="to-batches" href={BATCHES_PATH} onClick={followLink} aria-current={openBatch.value === ALL_BATCHES ? "page" : undefined}>
      {BATCH_WORDS.title}
    </a>
  );
}

function BatchList() {
  const busy = useSignal(false);
  useEffect(() => {
    const stop = new AbortController();
    document.title = batchDocumentTitle();
    void followBatches(stop.signal);
    return () => stop.abort();
  }, []);
  const more = () => {
    busy.value = true;
    void loadOlderBatches().finally(() => (busy.value = false));
  };
  return (
    <div class="batches">
      <h1>{BATCH_WORDS.title}</h1>
      {batchesFault.value && <p role="alert">{batchesFault.value}</p>}
      {batchesLoaded.value && batches.value.length === 0 && <p class="quiet">{BATCH_WORDS.none}</p>}
      {batches.value.length > 0 && (
        <ul class="jobs panel rows">
          {batches.value.map((batch) => (
            <BatchRow key={batch.id} batch={batch} />
          ))}
        </ul>
      )}
      {hasOlderBatches() && (
        <button type="button" class="small more" onClick={more} disabled={busy.value}>
          {BATCH_WORDS.more}
        </button>
      )}
    </div>
  );
}

function BatchRow({ batch }: { batch: Batch }) {
  return (
    <li>
      <a class="job-row" href={batchPath(batch.id)} onClick={followLink}>
        <span class="file-name" dir="auto">{batchTitle(batch)}</span>
        <span class="job-row-note">{joinWords([batchWords(batch), ago(batch.created_at)])}</span>
        {isBatchActive(batch) && (
          <progress max={Math.max(1, batch.total)} value={endedItems(batch)} aria-label={batchProgressLabel(batch)} />
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
    if (batch) document.title = batchDocumentTitle(batch);
  }, [batch]);
  return (
    <article class="batches">
      <a class="up" href={BATCHES_PATH} onClick={followLink}>
        <Icon name="back" /> {BATCH_WORDS.back}
      </a>
      {!batch && !(problem && !problem.isTransient) && <p class="quiet loading">{BATCH_WORDS.loading}</p>}
      {!batch && problem && !problem.isTransient && <h1>{problem.status === 404 ? BATCH_WORDS.missing : problem.message}</h1>}
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
            <h2 id="items-title">{BATCH_WORDS.tracks}</h2>
            <CountsPicture batch={batch} open={open} />
            <BatchItems open={open} />
          </section>
        </>
      )}
    </article>
  );
}
