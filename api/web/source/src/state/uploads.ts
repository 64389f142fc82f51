// Files on their way: checked, sent two at a time, each made into a job.

import { signal } from "@preact/signals";

import { postJson, Problem, server } from "../api/client";
import type { Excerpt, Job } from "../api/types";
import { upload } from "../api/upload";
import { formatBytes } from "../words/jobs";
import { engines } from "./engines";
import { put } from "./library";
import { looksLikeAudio } from "./files";
import { excerptWish, requestFields } from "./options";

const AT_ONCE = 2;

export type Stage = "waiting" | "sending" | "submitting" | "refused" | "failed";

export interface Sending {
  readonly id: number;
  readonly file: File;
  readonly stage: Stage;
  readonly fraction: number;
  readonly message: string | null;
}

export const sendings = signal<readonly Sending[]>([]);

const controllers = new Map<number, AbortController>();
const asked = new Map<number, Wish>();
let last = 0;

/** What is to become of a file. */
interface Wish {
  fields: Record<string, string>;
  excerpt: (song: File) => Promise<Excerpt | null>;
  onJob: (job: Job) => void;
}

/** Takes files in; `onJob` hears of each job made of them. */
export function addFiles(files: Iterable<File>, onJob: (job: Job) => void): void {
  for (const file of files) {
    const id = ++last;
    const refusal = refusalOf(file);
    // What is asked for is settled now: changing the options later is for later files.
    asked.set(id, { fields: requestFields(), excerpt: excerptWish(), onJob });
    const stage = refusal ? "refused" : "waiting";
    sendings.value = [...sendings.value, { id, file, stage, fraction: 0, message: refusal }];
  }
  startNext();
}

export function tryAgain(id: number): void {
  change(id, { stage: "waiting", fraction: 0, message: null });
  startNext();
}

// Whoever left a song to be sent finds it sent, though the server was restarted meanwhile.
server.addEventListener("back", () => {
  for (const { id, stage } of sendings.value) if (stage === "failed") tryAgain(id);
});

/** Gives a file up, wherever it stands. */
export function dismiss(id: number): void {
  controllers.get(id)?.abort();
  controllers.delete(id);
  asked.delete(id);
  sendings.value = sendings.value.filter((sending) => sending.id !== id);
}

function refusalOf(file: File): string | null {
  if (file.size === 0) return "This file is empty.";
  const most = engines.value?.max_upload_bytes;
  if (most && file.size > most) return `This file has ${formatBytes(file.size)}; at most ${formatBytes(most)} are taken.`;
  if (!looksLikeAudio(file)) return "This does not look like audio. Songs, and videos with sound, are taken.";
  return null;
}

function startNext(): void {
  const busy = sendings.value.filter((s) => s.stage === "sending" || s.stage === "submitting").length;
  for (const next of sendings.value.filter((s) => s.stage === "waiting").slice(0, AT_ONCE - busy)) {
    void sendOne(next).finally(startNext);
  }
}

async function sendOne({ id, file }: Sending): Promise<void> {
  const controller = new AbortController();
  controllers.set(id, controller);
  change(id, { stage: "sending" });
  try {
    const stored = await upload(file, (fraction) => change(id, { fraction }), controller.signal);
    change(id, { stage: "submitting", fraction: 1 });
    const { fields, excerpt, onJob } = asked.get(id)!;
    const part = await excerpt(file);
    controller.signal.throwIfAborted();
    const job = await submit(stored.upload_id, fields, part);
    dismiss(id);
    onJob(job);
  } catch (error) {
    if (controller.signal.aborted) return;
    const passes = error instanceof Problem && error.isTransient;
    change(id, { stage: passes ? "failed" : "refused", message: error instanceof Error ? error.message : String(error) });
  }
}

/** Makes a job of what was uploaded before: the first time, or again with other wishes. */
export async function submit(uploadId: string, fields: Record<string, string>, excerpt: Excerpt | null): Promise<Job> {
  const body = { source: { upload_id: uploadId }, ...fields, ...(excerpt && { excerpt }) };
  // If the answer is lost and the request sent again, the server knows it by this.
  const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("-");
  const job = await postJson<Job>("/v1/jobs", body, { "Idempotency-Key": key });
  put(job);
  return job;
}

function change(id: number, changes: Partial<Sending>): void {
  sendings.value = sendings.value.map((sending) => (sending.id === id ? { ...sending, ...changes } : sending));
}
