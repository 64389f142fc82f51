// What can be done with a job: cancel, retry, delete, download all, and the whole song after an excerpt.

import { useSignal } from "@preact/signals";

import { postJson, request } from "../../api/client";
import { download } from "../../api/media";
import { isActive, type Job } from "../../api/types";
import { go, jobPath } from "../../routes";
import { engines } from "../../state/engines";
import { put, remove } from "../../state/library";
import { submit } from "../../state/uploads";
import { partWords, songName } from "../../words/jobs";
import { useAction } from "../action";
import { Icon } from "../icons";

export function JobActions({ job }: { job: Job }) {
  const { run, busy, fault } = useAction();
  const sure = useSignal(false);
  const path = `/v1/jobs/${job.id}`;
  const cancel = () => run(async () => put(await postJson<Job>(`${path}/cancel`)));
  const retry = () => run(async () => put(await postJson<Job>(`${path}/retry`)));
  const save = () => run(() => download(`${path}/archive`, `${songName(job)} - stems.zip`));
  const erase = () =>
    run(async () => {
      await request(path, { method: "DELETE" });
      remove(job.id);
      go("/");
    });
  return (
    <div class="job-actions">
      {isActive(job) && (
        <button type="button" disabled={busy} onClick={cancel}>
          Cancel
        </button>
      )}
      {(job.state === "failed" || job.state === "canceled") && (
        <button type="button" class={job.error && !job.error.retryable ? "" : "primary"} disabled={busy} onClick={retry}>
          Try again
        </button>
      )}
      {job.links.archive && (
        <button type="button" class="primary" disabled={busy} onClick={save}>
          <Icon name="download" /> Download all
        </button>
      )}
      {!isActive(job) && !sure.value && (
        <button type="button" disabled={busy} onClick={() => (sure.value = true)}>
          Delete
        </button>
      )}
      {sure.value && (
        <span class="sure" role="group" aria-label="Delete for good?">
          <button type="button" class="danger" disabled={busy} onClick={erase} ref={(button) => button?.focus()}>
            Delete song and stems
          </button>
          <button type="button" onClick={() => (sure.value = false)}>
            Keep
          </button>
        </span>
      )}
      {fault && (
        <p class="action-fault" role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

export function WholeSongOffer({ job }: { job: Job }) {
  const { run, busy, fault } = useAction();
  const uploadId = job.source.upload_id;
  if (!uploadId) return null;
  const fields = { engine: job.engine, ...(job.preset && { preset: job.preset }), format: job.format };
  const whole = () => run(async () => go(jobPath((await submit(uploadId, fields, null)).id)));
  return (
    <section class="panel offer" aria-label="The whole song">
      <p>
        You are hearing {partWords(job)}. {fault && <span role="alert">{fault}</span>}
      </p>
      <button type="button" class="primary" disabled={busy} onClick={whole}>
        Do the whole song
      </button>
    </section>
  );
}

/** On one song this engine is better, on the next another: for the same upload, as it was asked for. */
export function OtherEngines({ job }: { job: Job }) {
  const { run, busy, fault } = useAction();
  const uploadId = job.source.upload_id;
  const others = engines.value?.engines.filter(({ name }) => name !== job.engine) ?? [];
  if (!uploadId || !others.length) return null;
  const again = (engine: string) =>
    run(async () => go(jobPath((await submit(uploadId, { engine, format: job.format }, job.excerpt)).id)));
  return (
    <div class="button-row">
      Take it apart with another engine:
      {others.map(({ name, title }) => (
        <button key={name} type="button" class="small" disabled={busy} onClick={() => again(name)}>
          {title}
        </button>
      ))}
      {fault && <span role="alert">{fault}</span>}
    </div>
  );
}
