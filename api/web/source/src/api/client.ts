// Requests to the API: adds the key, and turns every failure into a `Problem` with a sentence to show.

import { signal } from "@preact/signals";

import { askForKey, key } from "./key";

/** When the server last failed to answer, in milliseconds since 1970; null while it answers. */
export const awaySince = signal<number | null>(null);

/** Sends `back` when the server answers again, so that nobody who waits for it waits longer. */
export const server = new EventTarget();

/** How often a server that does not answer is asked whether it is back. */
const KNOCK_MILLISECONDS = 1000;

/** What went wrong, in the server's own words where it had any. `status` is 0 if there was no answer at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function authorization(): Record<string, string> {
  return key.value ? { Authorization: `Bearer ${key.value}` } : {};
}

/** Sends a request and returns the answer if it is a good one. Asks for a key where the server wants one. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const used = key.value;
    const response = await send(path, init);
    if (response.ok) return response;
    if (response.status !== 401) throw await problemOf(response);
    // Another request may have asked, and been given a key, in the meantime.
    if (key.value === used) await askForKey();
  }
}

export async function requestJson<T>(path: string, init: RequestInit = {}): Promise<T> {
  return (await (await request(path, init)).json()) as T;
}

export async function postJson<T>(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  if (body === undefined) return requestJson<T>(path, { method: "POST", headers });
  const content = { "Content-Type": "application/json", ...headers };
  return requestJson<T>(path, { method: "POST", headers: content, body: JSON.stringify(body) });
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    const response = await fetch(path, { ...init, headers: { ...authorization(), ...init.headers } });
    answered();
    return response;
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw missed();
  }
}

/** Notes that the server did not answer, asks until it does, and returns what to say of it. */
export function missed(): Problem {
  if (awaySince.value === null) void knock();
  return unreachable();
}

function answered(): void {
  if (awaySince.value === null) return;
  awaySince.value = null;
  server.dispatchEvent(new Event("back"));
}

/** Asks until the server answers. */
async function knock(): Promise<void> {
  awaySince.value = Date.now();
  while (awaySince.value !== null) {
    await new Promise((resolve) => window.setTimeout(resolve, KNOCK_MILLISECONDS));
    await fetch("/healthz").then(answered, () => undefined);
  }
}

export function unreachable(): Problem {
  return new Problem(0, "unreachable", "The server does not answer. It may be restarting.");
}

async function problemOf(response: Response): Promise<Problem> {
  return readProblem(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
}

/** Reads problem details (RFC 9457); an answer of another kind, a proxy's say, gets a sentence of ours. */
export function readProblem(status: number, body: string, retryAfter: string | null): Problem {
  const seconds = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  try {
    const { code, detail, title, errors } = JSON.parse(body) as Record<string, unknown>;
    const fields = Array.isArray(errors) ? errors.map(fieldSentence).join(" ") : "";
    const message = [detail ?? title, fields].filter(Boolean).join(" ");
    if (message) return new Problem(status, String(code), message, seconds);
  } catch {
    // No JSON: said below.
  }
  return new Problem(status, "unexpected", `The server answered with ${status}.`, seconds);
}

function fieldSentence(error: { field?: string; message?: string }): string {
  return `${error.field ?? "A field"}: ${error.message ?? "is not right"}.`;
}
