// The view of one job: its progress while it runs, the studio when it is done.

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { Problem } from "../../api/client";
import { isActive, type Job } from "../../api/types";
import { watchJob } from "../../api/watch";
import { followLink, HOME_PATH, jobPath } from "../../routes";
import { keepInAddress } from "../../state/address";
import { engineTitle, isMix } from "../../state/engines";
import { jobs, putJob } from "../../state/library";
import { Studio } from "../../state/studio";
import { describeJob, errorCode, jobTitle, JOB_WORDS, madeFrom, outputWords } from "../../words/jobs";
import { Icon } from "../icons";
import { JobActions, OtherEngines, WholeSongOffer } from "./job_actions";
import { Mixer } from "../studio/mixer";
import { Mixes } from "./mixes";
import { Progress } from "./progress";
import { ReportPanel } from "./report";
import { Spectrograms } from "../studio/spectrogram";
import { TransportBar } from "../studio/transport_bar";

export function JobView({ id }: { id: string }) {
  const problem = useSignal<Problem | null>(null);
  const job = useJob(id, problem);
  if (!job) return <Absent problem={problem.value} />;
  return (
    <article class="job">
      <BackLink />
      <header class="job-head">
        <div>
          <h1 class="file-name" dir="auto">{job.source.filename}</h1>
          <p class="quiet">{describeJob(job, engineTitle(job.engine))}</p>
          {job.source.job_id && <Origin id={job.source.job_id} output={job.source.output ?? null} />}
          {job.then.length > 0 && <Continuations job={job} />}
        </div>
        <JobActions job={job} />
      </header>
      {isActive(job) && <Progress job={job} />}
      {(job.state === "failed" || job.state === "canceled") && <Ended job={job} />}
      {job.state === "succeeded" && <Finished key={job.times.finished_at} job={job} />}
    </article>
  );
}

/** Tells of the job whose outputs this one was made from; that may be deleted by now. */
function Origin({ id, output }: { id: string; output: string | null }) {
  const maker = jobs.value.find((job) => job.id === id);
  return (
    <p class="quiet">
      {madeFrom(output, output !== null && isMix(output, maker))}{" "}
      <a href={jobPath(id)} onClick={followLink}>
        {JOB_WORDS.earlierJob}
      </a>
    </p>
  );
}

/** Links the jobs that were submitted with this one and continue it; they may be deleted by now. */
function Continuations({ job }: { job: Job }) {
  return (
    <p class="quiet">
      {JOB_WORDS.continuedWith}{" "}
      {job.then.map(({ job_id: id, output }, place) => (
        <>
          {place > 0 && ", "}
          <a key={id} href={jobPath(id)} onClick={followLink}>
            {outputWords(output, isMix(output, job))}
          </a>
        </>
      ))}
    </p>
  );
}

function Finished({ job }: { job: Job }) {
  // A finished job does not change any more.
  const studio = useMemo(() => new Studio(job), [job.id]);
  useEffect(() => {
    const stop = new AbortController();
    keepInAddress(studio, stop.signal);
    return () => {
      stop.abort();
      studio.close();
    };
  }, [studio]);
  return (
    <>
      {job.excerpt && <WholeSongOffer job={job} />}
      {job.stems.length > 0 && (
        <>
          <TransportBar studio={studio} />
          <Mixer studio={studio} />
          <Spectrograms studio={studio} />
        </>
      )}
      {job.mixes.length > 0 && <Mixes job={job} />}
      <ReportPanel studio={studio} />
    </>
  );
}

function Ended({ job }: { job: Job }) {
  const failed = job.state === "failed";
  return (
    <section class={failed ? "panel ended bad" : "panel ended"} aria-labelledby="ended-title">
      <h2 id="ended-title">{failed ? JOB_WORDS.failed : JOB_WORDS.canceled}</h2>
      <p>{job.error?.message ?? (failed ? JOB_WORDS.failedWithoutReason : JOB_WORDS.nothingKept)}</p>
      {job.error && <p class="quiet">{errorCode(job.error.code)}</p>}
      <OtherEngines job={job} />
    </section>
  );
}

function Absent({ problem }: { problem: Problem | null }) {
  if (!problem || problem.isTransient) return <p class="quiet loading">{JOB_WORDS.loading}</p>;
  return (
    <div class="absent">
      <BackLink />
      <h1>{problem.status === 404 ? JOB_WORDS.missing : JOB_WORDS.unreadable}</h1>
      <p>{problem.status === 404 ? JOB_WORDS.missingReason : problem.message}</p>
    </div>
  );
}

function BackLink() {
  return (
    <a class="back" href={HOME_PATH} onClick={followLink}>
      <Icon name="back" /> {JOB_WORDS.back}
    </a>
  );
}

/** Returns the job, and follows it until it ends; also after a retry. */
function useJob(id: string, problem: Signal<Problem | null>): Job | undefined {
  const job = jobs.value.find((known) => known.id === id);
  const ended = job !== undefined && !isActive(job);
  useEffect(() => {
    if (ended) return;
    const stop = new AbortController();
    problem.value = null;
    void watchJob(id, putJob, (found) => (problem.value = found), stop.signal);
    return () => stop.abort();
  }, [id, ended]);
  useEffect(() => {
    if (!job) return;
    document.title = jobTitle(job);
  }, [job]);
  return job;
}
