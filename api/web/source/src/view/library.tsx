// All jobs, newest first, with search. Only as many rows as are asked for are in the page, so a thousand cost nothing.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { isActive, type Job } from "../api/types";
import { follow, jobPath, openJob } from "../routes";
import { found, hasOlder, jobs, loaded, loadOlder, loadingOlder, search } from "../state/library";
import { ago, formatTime, partWords, plural, progressWords, STATE_WORDS } from "../words/jobs";
import { BatchesLink } from "./batches/batches";
import { Icon } from "./icons";

const ROWS_AT_ONCE = 30;

export function Library() {
  const rows = useSignal(ROWS_AT_ONCE);
  const matching = found.value;
  const searching = search.value.trim() !== "";
  useEffect(() => {
    rows.value = ROWS_AT_ONCE;
  }, [search.value]);
  useEffect(() => {
    // A search looks through all jobs, not only those that happen to be here.
    if (searching && hasOlder.value) void loadOlder();
  }, [searching, jobs.value]);
  const showMore = () => {
    rows.value += ROWS_AT_ONCE;
    if (rows.value > matching.length) void loadOlder();
  };
  return (
    <section class="library" aria-labelledby="library-title">
      <div class="library-head">
        <h2 id="library-title">Library</h2>
        <label class="search">
          <Icon name="search" />
          <span class="unseen">Search the library</span>
          <input
            type="search"
            placeholder="Search"
            value={search.value}
            onInput={(event) => (search.value = event.currentTarget.value)}
          />
        </label>
      </div>
      <BatchesLink />
      <p class="unseen" role="status">
        {searching && !loadingOlder.value ? `${plural(matching.length, "song")} found` : ""}
      </p>
      <Empty searching={searching} count={matching.length} />
      <ul class="jobs">
        {matching.slice(0, rows.value).map((job) => (
          <JobRow key={job.id} job={job} open={job.id === openJob.value} />
        ))}
      </ul>
      {(matching.length > rows.value || (hasOlder.value && !searching)) && (
        <button type="button" class="small more" onClick={showMore} disabled={loadingOlder.value}>
          {loadingOlder.value ? "Loading…" : "Show more"}
        </button>
      )}
    </section>
  );
}

function Empty({ searching, count }: { searching: boolean; count: number }) {
  if (count > 0) return null;
  if (!loaded.value) return <p class="quiet empty">Loading…</p>;
  if (searching) return <p class="quiet empty">{loadingOlder.value ? "Looking…" : "No song by that name."}</p>;
  return <p class="quiet empty">Songs that you send appear here and stay until they expire.</p>;
}

function JobRow({ job, open }: { job: Job; open: boolean }) {
  const active = isActive(job);
  return (
    <li>
      <a class={`job-row is-${job.state}`} href={jobPath(job.id)} onClick={follow} aria-current={open ? "page" : undefined}>
        <span class="file-name" dir="auto">{job.source.filename}</span>
        <span class="job-row-note">{active ? progressWords(job) : endedWords(job)}</span>
        {active && <progress max={1} value={job.progress} aria-label={`Progress of ${job.source.filename}`} />}
      </a>
    </li>
  );
}

function endedWords(job: Job): string {
  const seconds = job.stems[0]?.duration_seconds;
  const words = [
    job.state === "succeeded" ? null : STATE_WORDS[job.state],
    partWords(job) ?? (seconds ? formatTime(seconds) : null),
    ago(job.times.created_at),
  ];
  return words.filter(Boolean).join(" · ");
}
