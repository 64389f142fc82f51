// Where in the page the reader is, kept in the address so that reloading and sharing work.

import { signal } from "@preact/signals";

const JOB = /^\/jobs\/([A-Za-z0-9_-]+)$/;

/** The job that is looked at; null at home. */
export const openJob = signal<string | null>(read());

export const jobPath = (id: string): string => `/jobs/${id}`;

export function go(path: string): void {
  if (path !== location.pathname) history.pushState(null, "", path);
  openJob.value = read();
  window.scrollTo(0, 0);
}

/** Follows a link inside the page; a click that asks for a new tab is left to the browser. */
export function follow(event: MouseEvent): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go((event.currentTarget as HTMLAnchorElement).pathname);
}

window.addEventListener("popstate", () => (openJob.value = read()));

function read(): string | null {
  return JOB.exec(location.pathname)?.[1] ?? null;
}
