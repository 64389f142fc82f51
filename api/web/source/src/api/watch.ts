// Follows one job until it ends: by the server's event stream, or by polling if that does not work.

import { Problem, request, requestJson, server } from "./client";
import { isActive, type Job } from "./types";

const POLL_SECONDS = 1;

/** Pauses after successive failures; the last one repeats. */
const BACKOFF_SECONDS = [1, 2, 4, 8];

/** The server sends something every fifteen seconds. A stream that is silent for this long is dead. */
const SILENCE_SECONDS = 40;

/** Whether this server has event streams; known after the first try. */
let eventsWork = true;

/** Calls `onJob` with each state of the job that it sees, until the job has ended or `signal` aborts. */
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
      await (eventsWork ? readEvents(id, onJob, signal) : pause(POLL_SECONDS, signal));
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
async function readEvents(id: string, onJob: (job: Job) => void, signal: AbortSignal): Promise<void> {
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
    for (const event of events) handleEvent(event, onJob);
  }
  // If a proxy ends streams at once, this must not become a busy loop.
  await pause(0.2, signal);
}

function handleEvent(event: string, onJob: (job: Job) => void): void {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  if (lines.length === 0) return;
  const data = JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n")) as Partial<Job>;
  if (data.id && data.state && data.source) onJob(data as Job);
}

/** Waits. The wait ends early when the tab becomes visible or the server comes back, so that the page updates at once. */
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
