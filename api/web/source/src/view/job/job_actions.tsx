// The actions on a job: cancel, retry, delete, download, and separate the song again as a whole or with another engine.

import { useSignal } from "@preact/signals";

import { postJson, request } from "../../api/client";
import { download } from "../../api/media";
import { isActive, type Engine, type Job } from "../../api/types";
import { go, HOME_PATH, jobPath } from "../../routes";
import { engines, suitableFormat } from "../../state/engines";
import { hasActiveFollower, putJob, removeJob } from "../../state/library";
import { submit } from "../../state/uploads";
import { archiveName, excerptOffer, JOB_WORDS } from "../../words/jobs";
import { useAction } from "../action";
import { Icon } from "../icons";

export function JobActions({ job }: { job: Job }) {
  const { run, busy, fault } = useAction();
  const sure = useSignal(false);
  const path = `/v1/jobs/${job.id}`;
  const cancel = () => run(async () => putJob(await postJson<Job>(`${path}/cancel`)));
  const retry = () => run(async () => putJob(await postJson<Job>(`${path}/retry`)));
  const save = () => run(() => download(`${path}/archive`, archiveName(job)));
  const erase = () =>
    run(async () => {
      await request(path, { method: "DELETE" });
      removeJob(job.id);
      go(HOME_PATH);
    });
  return (
    <div class="job-actions">
      {(isActive(job) || hasActiveFollower(job)) && (
        <button type="button" disabled={busy} onClick={cancel}>
          {isActive(job) ? JOB_WORDS.cancel : JOB_WORDS.cancelFollowers}
        </button>
      )}
      {(job.state === "failed" || job.state === "canceled") && (
        <button type="button" class={job.error && !job.error.retryable ? "" : "primary"} disabled={busy} onClick={retry}>
          {JOB_WORDS.retry}
        </button>
      )}
      {job.links.archive && (
        <button type="button" class="primary" disabled={busy} onClick={save}>
          <Icon name="download" /> {JOB_WORDS.downloadAll}
        </button>
      )}
      {!isActive(job) && !sure.value && (
        <button type="button" disabled={busy} onClick={() => (sure.value = true)}>
          {JOB_WORDS.delete}
        </button>
      )}
      {sure.value && (
        <span class="sure" role="group" aria-label={JOB_WORDS.confirmDelete}>
          <button type="button" class="danger" disabled={busy} onClick={erase} ref={(button) => button?.focus()}>
            {JOB_WORDS.deleteNow}
          </button>
          <button type="button" onClick={() => (sure.value = false)}>
            {JOB_WORDS.keep}
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
    <section class="panel offer" aria-label={JOB_WORDS.wholeSong}>
      <p>
        {excerptOffer(job)} {fault && <span role="alert">{fault}</span>}
      </p>
      <button type="button" class="primary" disabled={busy} onClick={whole}>
        {JOB_WORDS.separateWhole}
      </button>
    </section>
  );
}

/** Offers to separate the same upload with other engines: which one is best differs from song to song. */
export function OtherEngines({ job }: { job: Job }) {
  const { run, busy, fault } = useAction();
  const uploadId = job.source.upload_id;
  const others = engines.value?.engines.filter(({ name }) => name !== job.engine) ?? [];
  if (!uploadId || !others.length) return null;
  const again = (engine: Engine) => {
    const fields = { engine: engine.name, format: suitableFormat(job.format, engine) };
    return run(async () => go(jobPath((await submit(uploadId, fields, job.excerpt)).id)));
  };
  return (
    <div class="button-row">
      {JOB_WORDS.otherEngine}
      {others.map((engine) => (
        <button key={engine.name} type="button" class="small" disabled={busy} onClick={() => again(engine)}>
          {engine.title}
        </button>
      ))}
      {fault && <span role="alert">{fault}</span>}
    </div>
  );
}
