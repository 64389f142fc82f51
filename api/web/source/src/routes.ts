// Where in the page the reader is, kept in the address so that reloading and sharing work.

import { signal } from "@preact/signals";

const ROUTE = /^\/(?:(jobs)\/([A-Za-z0-9_-]+)|(batches)(?:\/([A-Za-z0-9_-]+))?)$/;

/** The job that is looked at; null elsewhere. */
export const openJob = signal<string | null>(null);

/** The batch that is looked at, `all` where it is the list of them; null elsewhere. */
export const openBatch = signal<string | null>(null);

export const ALL_BATCHES = "all";
export const BATCHES_PATH = "/batches";
export const jobPath = (id: string): string => `/jobs/${id}`;
export const batchPath = (id: string): string => `${BATCHES_PATH}/${id}`;

export const isHome = (): boolean => openJob.value === null && openBatch.value === null;

export function go(path: string): void {
  if (path !== location.pathname) history.pushState(null, "", path);
  read();
  window.scrollTo(0, 0);
}

/** Follows a link inside the page; a click that asks for a new tab is left to the browser. */
export function follow(event: MouseEvent): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go((event.currentTarget as HTMLAnchorElement).pathname);
}

window.addEventListener("popstate", read);
read();

function read(): void {
  const [, jobs, job, batches, batch] = ROUTE.exec(location.pathname) ?? [];
  openJob.value = jobs ? job! : null;
  openBatch.value = batches ? (batch ?? ALL_BATCHES) : null;
}
