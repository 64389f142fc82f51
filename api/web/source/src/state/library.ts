// The jobs that the server knows, newest first: the first page followed, older ones loaded when they are asked for.

import { computed, signal } from "@preact/signals";

import { Problem, requestJson } from "../api/client";
import { isActive, type Job, type JobPage } from "../api/types";
import { pause } from "../api/watch";
import { openJob } from "../routes";

/** What is read at first, and again and again: more than a screen shows. */
const NEWEST_JOBS = 50;

/** The server gives no more at once. */
const PAGE_JOBS = 200;

const ACTIVE_SECONDS = 2;
const IDLE_SECONDS = 15;

export const jobs = signal<readonly Job[]>([]);
export const loaded = signal(false);
export const fault = signal<string | null>(null);
export const search = signal("");

/** How many jobs somebody wanted to see. */
let asked = 0;

/** Where the next older page starts; null when all are here. */
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

/** What was put in (or taken out: null) while the list is being read, and so is newer than the answer. */
let meanwhile = new Map<string, Job | null>();

/** Puts a job's newer state into the list; a new one on top. */
export function put(job: Job): void {
  meanwhile.set(job.id, job);
  const known = jobs.value.some(({ id }) => id === job.id);
  jobs.value = known ? jobs.value.map((old) => (old.id === job.id ? job : old)) : [job, ...jobs.value];
}

export function remove(id: string): void {
  meanwhile.set(id, null);
  jobs.value = jobs.value.filter((job) => job.id !== id);
}

export async function refresh(signal?: AbortSignal): Promise<void> {
  meanwhile = new Map();
  try {
    const { page, newest } = await readNewest(wanted(), signal);
    jobs.value = [...broughtUp(newest), ...restBehind(page, newest)];
    loaded.value = true;
    fault.value = null;
  } catch (error) {
    if (signal?.aborted) return;
    fault.value = error instanceof Problem ? error.message : String(error);
  }
}

/** Returns the newest jobs, with what came to be known of them while they were read. */
function broughtUp(newest: readonly Job[]): Job[] {
  const read = new Set(newest.map(({ id }) => id));
  const oldest = newest.at(-1)?.times.created_at ?? "";
  const added = [...meanwhile.values()].filter((job) => job && !read.has(job.id) && job.times.created_at >= oldest);
  const known = newest.map((job) => meanwhile.get(job.id) ?? job).filter(({ id }) => meanwhile.get(id) !== null);
  return [...(added.reverse() as Job[]), ...known];
}

/**
 * Returns the older jobs that stay, and sets where those begin that are not here: as many stay as were asked for, so that
 * a page that is open for days does not grow; none where so many came at once that there is a gap. What is newer than
 * those that were read, and not among them, is gone.
 */
function restBehind({ has_more: more, next_starting_after: next }: JobPage, newest: readonly Job[]): Job[] {
  const read = new Set(newest.map(({ id }) => id));
  const oldest = newest.at(-1)?.times.created_at ?? "";
  const behind = jobs.value.filter(({ id, times }) => more && times.created_at <= oldest && !read.has(id));
  // What is open is looked at, wherever it stands: it stays beside those.
  const others = behind.filter(({ id }) => id !== openJob.peek());
  const joins = jobs.value.some(({ id }) => read.has(id));
  const kept = joins ? others.slice(0, Math.max(0, asked - newest.length)) : [];
  if (!kept.length) older.value = next;
  else if (kept.length < others.length) older.value = kept.at(-1)!.id;
  const staying = new Set(kept);
  return behind.filter((job) => staying.has(job) || job.id === openJob.peek());
}

/** How many jobs are read to bring the list up to date: down to the last that goes on, which is the next one to end. */
function wanted(): number {
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
    // Once more if the list was brought up to date meanwhile, and ends elsewhere now.
    do {
      after = older.value;
      page = await requestJson<JobPage>(`/v1/jobs?limit=${PAGE_JOBS}&starting_after=${after}`);
    } while (older.value !== null && older.value !== after);
    const known = new Set(jobs.value.map((job) => job.id));
    jobs.value = [...jobs.value, ...page.jobs.filter((job) => !known.has(job.id))];
    asked = jobs.value.length;
    older.value = page.next_starting_after;
  } catch (error) {
    fault.value = error instanceof Problem ? error.message : String(error);
  } finally {
    loadingOlder.value = false;
  }
}

/** Follows the list for as long as the page is open; a tab out of sight rests. */
export async function followLibrary(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (document.visibilityState === "visible") await refresh(signal);
    // The more there is to read, the rarer.
    await pause(jobs.value.some(isActive) ? ACTIVE_SECONDS * Math.ceil(wanted() / PAGE_JOBS) : IDLE_SECONDS, signal);
  }
}
