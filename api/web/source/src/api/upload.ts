// Sends a file with progress. By XMLHttpRequest: fetch cannot tell how far an upload is.

import { authorization, missed, Problem, readProblem } from "./client";
import { askForKey } from "./key";

export interface Upload {
  upload_id: string;
  filename: string;
  size_bytes: number;
}

/** Uploads a file; `signal` gives it up. Throws a Problem, or an AbortError. */
export async function upload(file: File, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Upload> {
  for (;;) {
    try {
      return await send(file, onProgress, signal);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      await askForKey();
    }
  }
}

function send(file: File, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", `/v1/uploads?filename=${encodeURIComponent(file.name)}`);
    xhr.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(authorization())) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    xhr.onload = () => {
      if (xhr.status === 201) return resolve(JSON.parse(xhr.responseText) as Upload);
      reject(readProblem(xhr.status, xhr.responseText, xhr.getResponseHeader("Retry-After")));
    };
    xhr.onerror = () => void whyBroken(file).then(reject);
    xhr.onabort = () => reject(new DOMException("The upload was given up.", "AbortError"));
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(file);
  });
}

/** Tells what is to blame for an upload without an answer: the file, the server, or the line between. */
async function whyBroken(file: File): Promise<Error> {
  const isThere = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
  if (!isThere) return new Error("This file cannot be read any more: it was moved or changed.");
  const answers = await fetch("/healthz").then(() => true, () => false);
  return answers ? new Problem(0, "broken", "The connection broke while the song was being sent.") : missed();
}
