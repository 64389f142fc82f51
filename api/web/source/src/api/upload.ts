// Uploads a file with progress. It uses XMLHttpRequest because fetch does not report upload progress.

import { at } from "../base";
import { ERROR_WORDS } from "../words/errors";
import { answers, authorization, noteNoAnswer, Problem, readProblem } from "./client";
import { askForKey } from "./key";
import type { Upload } from "./types";

/** Uploads a file; `signal` cancels it. Throws a Problem, an AbortError, or an Error if the file is gone. */
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
    xhr.open("POST", at(`/v1/uploads?filename=${encodeURIComponent(file.name)}`));
    xhr.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(authorization())) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    xhr.onload = () => {
      if (xhr.status === 201) return resolve(JSON.parse(xhr.responseText) as Upload);
      reject(readProblem(xhr.status, xhr.responseText, xhr.getResponseHeader("Retry-After")));
    };
    xhr.onerror = () => void explainFailure(file).then(reject);
    xhr.onabort = () => reject(new DOMException(ERROR_WORDS.uploadCanceled, "AbortError"));
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(file);
  });
}

/** Finds out why an upload got no response: the file, the server, or the connection. */
async function explainFailure(file: File): Promise<Error> {
  const isThere = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
  if (!isThere) return new Error(ERROR_WORDS.fileGone);
  return (await answers()) ? new Problem(0, "broken", ERROR_WORDS.uploadBroken) : noteNoAnswer();
}
