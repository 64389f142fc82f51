// Reads parts of a file over HTTP, so that a long stem is never held in memory as a whole.

import { Problem, request, unreachable } from "../../api/client";
import { pause } from "../../api/watch";
import type { ReadRange } from "../containers/audio_file";

/** While the server is away, playback waits for it this often: longer than a restart takes. */
const MAX_TRIES = 30;
const RETRY_SECONDS = 2;

/** Returns a function that reads byte ranges of a URL, with retries. */
export function httpReader(url: string, signal: AbortSignal): ReadRange {
  return async (start, stop) => {
    for (let tries = 1; ; tries++) {
      try {
        return await readOnce(url, start, stop, signal);
      } catch (error) {
        if (!(error instanceof Problem) || !error.isTransient || tries === MAX_TRIES) throw error;
        await pause(RETRY_SECONDS, signal);
        signal.throwIfAborted();
      }
    }
  };
}

async function readOnce(url: string, start: number, stop: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const headers = { Range: `bytes=${start}-${stop - 1}` };
  const response = await request(url, { headers, signal });
  const bytes = await response.arrayBuffer().catch((error: unknown) => {
    // The connection broke in the middle of the response.
    throw signal.aborted ? error : unreachable();
  });
  // A server or proxy that does not support ranges sends the whole file.
  return response.status === 206 ? new Uint8Array(bytes) : new Uint8Array(bytes).slice(start, stop);
}
