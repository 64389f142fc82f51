// Uploads files, two at a time, and creates a job for each.

import { signal } from "@preact/signals";

import { postJson, Problem, server } from "../api/client";
import type { Excerpt, Job } from "../api/types";
import { upload } from "../api/upload";
import { tooLarge, UPLOAD_WORDS } from "../words/home";
import { engines } from "./engines";
import { putJob } from "./library";
import { chooseExcerpt, requestFields } from "./options";

const AT_ONCE = 2;

export type Stage = "waiting" | "uploading" | "submitting" | "refused" | "failed";

export interface PendingUpload {
  readonly id: number;
  readonly file: File;
  readonly stage: Stage;
  readonly fraction: number;
  readonly message: string | null;
}

/** The paths of files in dropped folders that were not taken, of the last drop. */
export const leftOut = signal<readonly string[]>([]);

export const uploads = signal<readonly PendingUpload[]>([]);

const controllers = new Map<number, AbortController>();
const requests = new Map<number, JobRequest>();
let last = 0;

/** The job that a file is for. */
interface JobRequest {
  fields: Record<string, string | number>;
  excerpt: (song: File) => Promise<Excerpt | null>;
  onJob: (job: Job) => void;
}

/** Starts to upload files; `onJob` is called with each job that is created. */
export function addFiles(files: Iterable<File>, onJob: (job: Job) => void): void {
  for (const file of files) {
    const id = ++last;
    const refusal = refusalOf(file);
    // The options as they are now. Later changes are for later files.
    requests.set(id, { fields: requestFields(), excerpt: chooseExcerpt(), onJob });
    const stage = refusal ? "refused" : "waiting";
    uploads.value = [...uploads.value, { id, file, stage, fraction: 0, message: refusal }];
  }
  startNext();
}

export function tryAgain(id: number): void {
  change(id, { stage: "waiting", fraction: 0, message: null });
  startNext();
}

// After a restart of the server, failed uploads continue by themselves.
server.addEventListener("back", () => {
  for (const { id, stage } of uploads.value) if (stage === "failed") tryAgain(id);
});

/** Cancels an upload, or removes it from the list. */
export function dismiss(id: number): void {
  controllers.get(id)?.abort();
  controllers.delete(id);
  requests.delete(id);
  uploads.value = uploads.value.filter((upload) => upload.id !== id);
}

function refusalOf(file: File): string | null {
  if (file.size === 0) return UPLOAD_WORDS.empty;
  const limit = engines.value?.max_upload_bytes;
  if (limit && file.size > limit) return tooLarge(file.size, limit);
  return null;
}

function startNext(): void {
  const busy = uploads.value.filter((s) => s.stage === "uploading" || s.stage === "submitting").length;
  for (const next of uploads.value.filter((s) => s.stage === "waiting").slice(0, AT_ONCE - busy)) {
    void uploadOne(next).finally(startNext);
  }
}

async function uploadOne({ id, file }: PendingUpload): Promise<void> {
  const controller = new AbortController();
  controllers.set(id, controller);
  change(id, { stage: "uploading" });
  try {
    const stored = await upload(file, (fraction) => change(id, { fraction }), controller.signal);
    change(id, { stage: "submitting", fraction: 1 });
    const { fields, excerpt, onJob } = requests.get(id)!;
    const part = await excerpt(file);
    controller.signal.throwIfAborted();
    const job = await submit(stored.upload_id, fields, part);
    dismiss(id);
    onJob(job);
  } catch (error) {
    if (controller.signal.aborted) return;
    const isTransient = error instanceof Problem && error.isTransient;
    change(id, { stage: isTransient ? "failed" : "refused", message: error instanceof Error ? error.message : String(error) });
  }
}

/** Creates a job for a finished upload: the first one, or another one with other options. */
export async function submit(uploadId: string, fields: Record<string, string | number>, excerpt: Excerpt | null): Promise<Job> {
  const body = { source: { upload_id: uploadId }, ...fields, ...(excerpt && { excerpt }) };
  // If the response is lost and the request is sent again, the server recognises it by this key.
  const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("-");
  const job = await postJson<Job>("/v1/jobs", body, { "Idempotency-Key": key });
  putJob(job);
  return job;
}

function change(id: number, changes: Partial<PendingUpload>): void {
  uploads.value = uploads.value.map((upload) => (upload.id === id ? { ...upload, ...changes } : upload));
}
