// One job: how it stands while it runs, and the studio once it is done.

import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { Problem } from "../../api/client";
import { isActive, type Job } from "../../api/types";
import { watchJob } from "../../api/watch";
import { follow } from "../../routes";
import { keepInAddress } from "../../state/address";
import { engineTitle } from "../../state/engines";
import { jobs, put } from "../../state/library";
import { Studio } from "../../state/studio";
import { capitalised, partWords } from "../../words/jobs";
import { Icon } from "../icons";
import { JobActions, OtherEngines, WholeSongOffer } from "./job_actions";
import { Mixer } from "../studio/mixer";
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
          <p class="quiet">{describe(job)}</p>
        </div>
        <JobActions job={job} />
      </header>
      {isActive(job) && <Progress job={job} />}
      {(job.state === "failed" || job.state === "canceled") && <Ended job={job} />}
      {job.state === "succeeded" && <Finished key={job.times.finished_at} job={job} />}
    </article>
  );
}

function Finished({ job }: { job: Job }) {
  // A job that has ended changes no more: the first sight of it is as good as any.
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
      <TransportBar studio={studio} />
      <Mixer studio={studio} />
      <Spectrograms studio={studio} />
      <ReportPanel studio={studio} />
    </>
  );
}

function Ended({ job }: { job: Job }) {
  const failed = job.state === "failed";
  return (
    <section class={failed ? "panel ended bad" : "panel ended"} aria-labelledby="ended-title">
      <h2 id="ended-title">{failed ? "This song could not be taken apart" : "Canceled"}</h2>
      <p>{job.error?.message ?? (failed ? "The server does not say why." : "Nothing was kept of what had been done.")}</p>
      {job.error && <p class="quiet">Code: {job.error.code}</p>}
      <OtherEngines job={job} />
    </section>
  );
}

function Absent({ problem }: { problem: Problem | null }) {
  if (!problem || problem.isTransient) return <p class="quiet loading">Loading…</p>;
  return (
    <div class="absent">
      <BackLink />
      <h1>{problem.status === 404 ? "There is no such song" : "This cannot be shown"}</h1>
      <p>{problem.status === 404 ? "It was deleted, or it has expired." : problem.message}</p>
    </div>
  );
}

function BackLink() {
  return (
    <a class="back" href="/" onClick={follow}>
      <Icon name="back" /> All songs
    </a>
  );
}

function describe(job: Job): string {
  const { channels, sample_rate_hz: rate } = job.source;
  const words = [
    capitalised(partWords(job) ?? ""),
    rate ? `${rate / 1000} kHz` : null,
    channels ? (["", "mono", "stereo"][channels] ?? `${channels} channels`) : null,
    engineTitle(job.engine),
    job.preset,
    job.format.toUpperCase(),
  ];
  return words.filter(Boolean).join(" · ");
}

/** Follows a job from what the library knows of it to its end; again when it is put back in line. */
function useJob(id: string, problem: Signal<Problem | null>): Job | undefined {
  const job = jobs.value.find((known) => known.id === id);
  const ended = job !== undefined && !isActive(job);
  useEffect(() => {
    if (ended) return;
    const stop = new AbortController();
    problem.value = null;
    void watchJob(id, put, (found) => (problem.value = found), stop.signal);
    return () => stop.abort();
  }, [id, ended]);
  useEffect(() => {
    if (!job) return;
    const percent = job.state === "running" ? `${Math.floor(job.progress * 100)} % · ` : "";
    document.title = `${percent}${job.source.filename} – stemqueue`;
  }, [job]);
  return job;
}
