// The actions on a batch: cancel it, retry what failed, download its report.

import { postJson } from "../../api/client";
import { download } from "../../api/media";
import type { Batch } from "../../api/types";
import { BATCH_WORDS, batchTitle, reportWords, retryWords } from "../../words/batches";
import { useAction } from "../action";
import { Icon } from "../icons";

export function BatchActions({ batch, onChange }: { batch: Batch; onChange: () => Promise<void> }) {
  const { run, busy, fault } = useAction();
  const { cancel, retry_failed: retry, report_csv: csv, report_jsonl: jsonl } = batch.links;
  const post = (path: string) => run(async () => {
    await postJson<Batch>(path);
    await onChange();
  });
  const again = batch.counts.failed + batch.counts.canceled;
  const report = (path: string, ending: string) => (
    <button type="button" disabled={busy} onClick={() => run(() => download(path, `${batchTitle(batch)}.${ending}`))}>
      <Icon name="download" /> {reportWords(ending)}
    </button>
  );
  return (
    <div class="job-actions">
      {cancel && (
        <button type="button" disabled={busy} onClick={() => post(cancel)}>
          {BATCH_WORDS.cancel}
        </button>
      )}
      {retry && !cancel && (
        <button type="button" class="primary" disabled={busy} onClick={() => post(retry)}>
          {retryWords(again)}
        </button>
      )}
      {report(csv, "csv")}
      {report(jsonl, "jsonl")}
      {fault && (
        <p class="action-fault" role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}
