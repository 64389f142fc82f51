// The library: all jobs, newest first, with search. Only some rows are in the page at a time, so that thousands of jobs cost
// nothing.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { isActive, type Job } from "../api/types";
import { followLink, jobPath, openJob } from "../routes";
import { found, hasOlder, jobs, loaded, loadOlder, loadingOlder, search } from "../state/library";
import { foundWords, jobRowWords, LIBRARY_WORDS, songProgressLabel } from "../words/page";
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
    // A search must look through all jobs, so load the older ones.
    if (searching && hasOlder.value) void loadOlder();
  }, [searching, jobs.value]);
  const showMore = () => {
    rows.value += ROWS_AT_ONCE;
    if (rows.value > matching.length) void loadOlder();
  };
  return (
    <section class="library" aria-labelledby="library-title">
      <div class="library-head">
        <h2 id="library-title">{LIBRARY_WORDS.title}</h2>
        <label class="search">
          <Icon name="search" />
          <span class="unseen">{LIBRARY_WORDS.searchLabel}</span>
          <input
            type="search"
            placeholder={LIBRARY_WORDS.search}
            value={search.value}
            onInput={(event) => (search.value = event.currentTarget.value)}
          />
        </label>
      </div>
      <BatchesLink />
      <p class="unseen" role="status">
        {searching && !loadingOlder.value ? foundWords(matching.length) : ""}
      </p>
      <Empty searching={searching} count={matching.length} />
      <ul class="jobs">
        {matching.slice(0, rows.value).map((job) => (
          <JobRow key={job.id} job={job} open={job.id === openJob.value} />
        ))}
      </ul>
      {(matching.length > rows.value || (hasOlder.value && !searching)) && (
        <button type="button" class="small more" onClick={showMore} disabled={loadingOlder.value}>
          {loadingOlder.value ? LIBRARY_WORDS.loading : LIBRARY_WORDS.more}
        </button>
      )}
    </section>
  );
}

function Empty({ searching, count }: { searching: boolean; count: number }) {
  if (count > 0) return null;
  if (!loaded.value) return <p class="quiet empty">{LIBRARY_WORDS.loading}</p>;
  if (searching) return <p class="quiet empty">{loadingOlder.value ? LIBRARY_WORDS.searching : LIBRARY_WORDS.noMatch}</p>;
  return <p class="quiet empty">{LIBRARY_WORDS.empty}</p>;
}

function JobRow({ job, open }: { job: Job; open: boolean }) {
  const active = isActive(job);
  return (
    <li>
      <a class={`job-row is-${job.state}`} href={jobPath(job.id)} onClick={followLink} aria-current={open ? "page" : undefined}>
        <span class="file-name" dir="auto">{job.source.filename}</span>
        <span class="job-row-note">{jobRowWords(job)}</span>
        {active && <progress max={1} value={job.progress} aria-label={songProgressLabel(job)} />}
      </a>
    </li>
  );
}
