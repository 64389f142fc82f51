// Sends requests to the API: adds the API key, and turns every failure into a `Problem` with a sentence to show.

import { signal } from "@preact/signals";

import { at } from "../base";
import { ERROR_WORDS, fieldError, foreignAnswer } from "../words/errors";
import { askForKey, key } from "./key";

/** When the server stopped answering, in milliseconds since 1970; null while it answers. */
export const awaySince = signal<number | null>(null);

/** Dispatches `back` when the server answers again, so that everything that waits for it continues at once. */
export const server = new EventTarget();

const CHECK_MILLISECONDS = 1000;

/** A failed request, with the server's own message if it sent one. `status` is 0 if there was no response. */
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

/** Sends a request, and asks the user for an API key if the server wants one. Throws a Problem unless it succeeds. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const used = key.value;
    const response = await send(path, init);
    if (response.ok) return response;
    if (response.status !== 401) throw await problemOf(response);
    // Another request may have got a key from the user in the meantime.
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
    const response = await fetch(at(path), { ...init, headers: { ...authorization(), ...init.headers } });
    noteAnswer();
    return response;
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw noteNoAnswer();
  }
}

/** Notes that the server did not answer, starts checking until it does, and returns the error to throw. */
export function noteNoAnswer(): Problem {
  if (awaySince.value === null) void checkUntilBack();
  return unreachable();
}

function noteAnswer(): void {
  if (awaySince.value === null) return;
  awaySince.value = null;
  server.dispatchEvent(new Event("back"));
}

/** Whether the server answers at all. */
export const answers = (): Promise<boolean> => fetch(at("/healthz")).then(() => true, () => false);

async function checkUntilBack(): Promise<void> {
  awaySince.value = Date.now();
  while (awaySince.value !== null) {
    await new Promise((resolve) => window.setTimeout(resolve, CHECK_MILLISECONDS));
    if (await answers()) noteAnswer();
  }
}

export function unreachable(): Problem {
  return new Problem(0, "unreachable", ERROR_WORDS.unreachable);
}

async function problemOf(response: Response): Promise<Problem> {
  return readProblem(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
}

/** Parses problem details (RFC 9457). Other responses, perhaps a proxy's, get a sentence of the page. */
export function readProblem(status: number, body: string, retryAfter: string | null): Problem {
  const seconds = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  try {
    const { code, detail, title, errors } = JSON.parse(body) as Record<string, unknown>;
    const fields = Array.isArray(errors) ? errors.map(fieldError).join(" ") : "";
    const message = [detail ?? title, fields].filter(Boolean).join(" ");
    if (message) return new Problem(status, String(code), message, seconds);
  } catch {
    // Not JSON.
  }
  return new Problem(status, "unexpected", foreignAnswer(status), seconds);
}
