// Reads parts of a file over HTTP, so that a long stem is never held whole.

import { Problem, request, unreachable } from "../../api/client";
import { pause } from "../../api/watch";

/** Returns the bytes from `start` up to, not including, `stop`. */
export type ReadRange = (start: number, stop: number) => Promise<Uint8Array<ArrayBuffer>>;

/** How long a server that is away is waited for, while the song halts: longer than it takes to restart. */
const TRIES = 30;
const BETWEEN_SECONDS = 2;

export function rangesOf(url: string, signal: AbortSignal): ReadRange {
  return async (start, stop) => {
    for (let tries = 1; ; tries++) {
      try {
        return await readOnce(url, start, stop, signal);
      } catch (error) {
        if (!(error instanceof Problem) || !error.passes || tries === TRIES) throw error;
        await pause(BETWEEN_SECONDS, signal);
        signal.throwIfAborted();
      }
    }
  };
}

async function readOnce(url: string, start: number, stop: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const headers = { Range: `bytes=${start}-${stop - 1}` };
  const response = await request(url, { headers, signal });
  const bytes = await response.arrayBuffer().catch((error: unknown) => {
    // The line broke in the midst of the answer.
    throw signal.aborted ? error : unreachable();
  });
  // A server or proxy without ranges answers with everything.
  return response.status === 206 ? new Uint8Array(bytes) : new Uint8Array(bytes).slice(start, stop);
}
