// The jobs that the server knows, newest first. The newest are refreshed all the time; older ones are loaded on request.

import { computed, signal } from "@preact/signals";

import { Problem, requestJson } from "../api/client";
import { isActive, type Job, type JobPage } from "../api/types";
import { pause } from "../api/watch";
import { openJob } from "../routes";

/** How many jobs each refresh reads: more than a screen shows. */
const NEWEST_JOBS = 50;

/** The server sends no more jobs per request. */
const PAGE_JOBS = 200;

const ACTIVE_SECONDS = 2;
const IDLE_SECONDS = 15;

export const jobs = signal<readonly Job[]>([]);
export const loaded = signal(false);
export const fault = signal<string | null>(null);
export const search = signal("");

/** How many jobs the reader has requested to see. */
let requested = 0;

/** The cursor of the next page of older jobs; null if all jobs are here. */
const older = signal<string | null>(null);
export const hasOlder = computed(() => older.value !== null);
export const loadingOlder = signal(false);

export const found = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return jobs.value;
  return jobs.value.filter((job) => {
    const text = `${job.source.filename} ${job.state} ${job.engine}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
});

/** Jobs that were updated (or removed: null) while the list is being read, and so are newer than the response. */
let meanwhile = new Map<string, Job | null>();

/** Updates a job in the list, or adds it at the top. */
export function putJob(job: Job): void {
  meanwhile.set(job.id, job);
  const known = jobs.value.some(({ id }) => id === job.id);
  jobs.value = known ? jobs.value.map((old) => (old.id === job.id ? job : old)) : [job, ...jobs.value];
}

export function removeJob(id: string): void {
  meanwhile.set(id, null);
  jobs.value = jobs.value.filter((job) => job.id !== id);
}

/** Whether a job that continues this one, directly or not, has not ended. Jobs that are not in the list count as ended. */
export function hasActiveFollower(job: Job): boolean {
  const followers = jobs.value.filter(({ id }) => job.then.some((next) => next.job_id === id));
  return followers.some((follower) => isActive(follower) || hasActiveFollower(follower));
}

export async function refresh(signal?: AbortSignal): Promise<void> {
  meanwhile = new Map();
  try {
    const { page, newest } = await readNewest(refreshCount(), signal);
    jobs.value = [...withUpdates(newest), ...keepOlder(page, newest)];
    loaded.value = true;
    fault.value = null;
  } catch (error) {
    if (signal?.aborted) return;
    fault.value = error instanceof Problem ? error.message : String(error);
  }
}

/** Returns the newest jobs, with the updates that arrived while they were read. */
function withUpdates(newest: readonly Job[]): Job[] {
  const read = new Set(newest.map(({ id }) => id));
  const oldest = newest.at(-1)?.times.created_at ?? "";
  const added = [...meanwhile.values()].filter((job) => job && !read.has(job.id) && job.times.created_at >= oldest);
  const known = newest.map((job) => meanwhile.get(job.id) ?? job).filter(({ id }) => meanwhile.get(id) !== null);
  return [...(added.reverse() as Job[]), ...known];
}

/**
 * Returns the older jobs that stay in the list, and sets the cursor behind them. As many stay as the reader has asked for, so
 * that a page that is open for days does not grow. None stay if there is a gap between them and the newest jobs. Jobs that
 * should be among the newest but are not have been deleted.
 */
function keepOlder({ has_more: more, next_starting_after: next }: JobPage, newest: readonly Job[]): Job[] {
  const read = new Set(newest.map(({ id }) => id));
  const oldest = newest.at(-1)?.times.created_at ?? "";
  const behind = jobs.value.filter(({ id, times }) => more && times.created_at <= oldest && !read.has(id));
  // The open job stays in any case.
  const others = behind.filter(({ id }) => id !== openJob.peek());
  const joins = jobs.value.some(({ id }) => read.has(id));
  const kept = joins ? others.slice(0, Math.max(0, requested - newest.length)) : [];
  if (!kept.length) older.value = next;
  else if (kept.length < others.length) older.value = kept.at(-1)!.id;
  const staying = new Set(kept);
  return behind.filter((job) => staying.has(job) || job.id === openJob.peek());
}

/** Returns how many jobs a refresh reads: down to the oldest active one, which is the next to end. */
function refreshCount(): number {
  return Math.max(NEWEST_JOBS, jobs.value.findLastIndex(isActive) + 1);
}

async function readNewest(count: number, signal?: AbortSignal): Promise<{ page: JobPage; newest: Job[] }> {
  const newest: Job[] = [];
  for (let after = ""; ; ) {
    const limit = Math.min(PAGE_JOBS, count - newest.length);
    const page = await requestJson<JobPage>(`/v1/jobs?limit=${limit}${after}`, signal ? { signal } : {});
    newest.push(...page.jobs);
    if (!page.has_more || newest.length >= count) return { page, newest };
    after = `&starting_after=${page.next_starting_after}`;
  }
}

export async function loadOlder(): Promise<void> {
  if (older.value === null || loadingOlder.value) return;
  loadingOlder.value = true;
  try {
    let after: string | null;
    let page: JobPage;
    // Again if a refresh has moved the end of the list in the meantime.
    do {
      after = older.value;
      page = await requestJson<JobPage>(`/v1/jobs?limit=${PAGE_JOBS}&starting_after=${after}`);
    } while (older.value !== null && older.value !== after);
    const known = new Set(jobs.value.map((job) => job.id));
    jobs.value = [...jobs.value, ...page.jobs.filter((job) => !known.has(job.id))];
    requested = jobs.value.length;
    older.value = page.next_starting_after;
  } catch (error) {
    fault.value = error instanceof Problem ? error.message : String(error);
  } finally {
    loadingOlder.value = false;
  }
}

/** Refreshes the list until `signal` aborts, but not in a hidden tab. */
export async function followLibrary(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (document.visibilityState === "visible") await refresh(signal);
    // The more jobs a refresh reads, the less often.
    await pause(jobs.value.some(isActive) ? ACTIVE_SECONDS * Math.ceil(refreshCount() / PAGE_JOBS) : IDLE_SECONDS, signal);
  }
}
