// Follows one job to its end: by events where the server has them, by polling where it has not or they fail.

import { Problem, request, requestJson, server } from "./client";
import { isActive, type Job } from "./types";

const POLL_SECONDS = 1;

/** Pauses after failures, in seconds; the last one repeats. */
const BACKOFF_SECONDS = [1, 2, 4, 8];

/** A stream sends something every fifteen seconds; one that is silent for longer leads nowhere any more. */
const SILENCE_SECONDS = 40;

/** Whether this server answers with events; found out by the first try. */
let eventsWork = true;

/** Calls `onJob` with every state of the job that is seen, until it has ended or `signal` aborts. */
export async function watchJob(
  id: string,
  onJob: (job: Job) => void,
  onProblem: (problem: Problem) => void,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const job = await requestJson<Job>(`/v1/jobs/${id}`, { signal });
      failures = 0;
      onJob(job);
      if (!isActive(job)) return;
      await (eventsWork ? listen(id, onJob, signal) : pause(POLL_SECONDS, signal));
    } catch (error) {
      if (signal.aborted) return;
      const problem = error instanceof Problem ? error : null;
      if (problem) onProblem(problem);
      if (problem && !problem.isTransient) return;
      await pause(BACKOFF_SECONDS[Math.min(failures++, BACKOFF_SECONDS.length - 1)]!, signal);
    }
  }
}

/** Reads the job's event stream until the server ends it. */
async function listen(id: string, onJob: (job: Job) => void, signal: AbortSignal): Promise<void> {
  const headers = { Accept: "text/event-stream" };
  const response = await request(`/v1/jobs/${id}/events`, { headers, signal }).catch((error: unknown) => {
    if (error instanceof Problem && [404, 405, 406, 501].includes(error.status)) return null;
    throw error;
  });
  if (!response?.body || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    eventsWork = false;
    return;
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const silent = window.setTimeout(() => void reader.cancel(), SILENCE_SECONDS * 1000);
    const { value, done } = await reader.read().finally(() => window.clearTimeout(silent));
    if (done) break;
    const events = (rest + value).split(/\r?\n\r?\n/);
    rest = events.pop() ?? "";
    for (const event of events) read(event, onJob);
  }
  // A stream that ends at once, by a proxy's doing, must not become a busy loop.
  await pause(0.2, signal);
}

function read(event: string, onJob: (job: Job) => void): void {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  if (lines.length === 0) return;
  const data = JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n")) as Partial<Job>;
  if (data.id && data.state && data.source) onJob(data as Job);
}

/** Waits; a tab or a server that comes back ends the wait, so that what slept is up to date at once. */
export function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      server.removeEventListener("back", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const seen = () => document.visibilityState === "visible" && done();
    const timer = window.setTimeout(done, seconds * 1000);
    document.addEventListener("visibilitychange", seen);
    server.addEventListener("back", done);
    signal.addEventListener("abort", done, { once: true });
  });
}
