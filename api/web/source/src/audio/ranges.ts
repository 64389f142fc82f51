// Reads parts of a file over HTTP, so that a long stem is never held whole.

import { request } from "../api/client";

/** Returns the bytes from `start` up to, not including, `stop`. */
export type ReadRange = (start: number, stop: number) => Promise<Uint8Array<ArrayBuffer>>;

export function rangesOf(url: string, signal: AbortSignal): ReadRange {
  return async (start, stop) => {
    const headers = { Range: `bytes=${start}-${stop - 1}` };
    const response = await request(url, { headers, signal });
    const bytes = new Uint8Array(await response.arrayBuffer());
    // A server or proxy without ranges answers with everything.
    return response.status === 206 ? bytes : bytes.slice(start, stop);
  };
}
