// What is open in the page. It is kept in the URL, so that reloading and sharing work.

import { signal } from "@preact/signals";

import { at, currentPath } from "./base";

const ROUTE = /^\/(?:(jobs)\/([A-Za-z0-9_-]+)|(batches)(?:\/([A-Za-z0-9_-]+))?)$/;

/** The id of the open job, or null. */
export const openJob = signal<string | null>(null);

/** The id of the open batch, `ALL_BATCHES` for the list of batches, or null. */
export const openBatch = signal<string | null>(null);

export const ALL_BATCHES = "all";
export const HOME_PATH = at("/");
export const BATCHES_PATH = at("/batches");
export const jobPath = (id: string): string => at(`/jobs/${id}`);
export const batchPath = (id: string): string => `${BATCHES_PATH}/${id}`;

export const isHome = (): boolean => openJob.value === null && openBatch.value === null;

export function go(path: string): void {
  if (path !== location.pathname) history.pushState(null, "", path);
  readAddress();
  window.scrollTo(0, 0);
}

/** Opens a link inside the page. Clicks that open a new tab are left to the browser. */
export function followLink(event: MouseEvent): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go((event.currentTarget as HTMLAnchorElement).pathname);
}

window.addEventListener("popstate", readAddress);
readAddress();

function readAddress(): void {
  const [, jobs, job, batches, batch] = ROUTE.exec(currentPath()) ?? [];
  openJob.value = jobs ? job! : null;
  openBatch.value = batches ? (batch ?? ALL_BATCHES) : null;
}
