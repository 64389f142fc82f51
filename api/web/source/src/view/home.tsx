// Where files are dropped and what is to be done with them is chosen.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import type { Job } from "../api/types";
import { go, jobPath, openJob } from "../routes";
import { engines } from "../state/engines";
import { addFiles } from "../state/uploads";
import { formatBytes, formatSpan } from "../words";
import { Icon } from "./icons";
import { OptionsPanel, PartChoice } from "./options";
import { Uploads } from "./uploads";

/** Takes files; a single one is followed to its job, of many the list tells. */
export function take(files: Iterable<File>): void {
  const list = [...files];
  addFiles(list, (job: Job) => {
    if (list.length === 1 && openJob.value === null) go(jobPath(job.id));
  });
}

export function Home() {
  return (
    <div class="home">
      <h1>Take a song apart</h1>
      <p class="lead">Drop a song and get its vocals and its accompaniment, to listen to, mix and keep.</p>
      <DropZone />
      <Uploads />
      <PartChoice />
      <OptionsPanel />
    </div>
  );
}

function DropZone() {
  const over = useDrop();
  const limits = engines.value;
  const choose = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    take(input.files ?? []);
    // The same file may be chosen again.
    input.value = "";
  };
  return (
    <div class={over ? "drop over" : "drop"}>
      <Icon name="upload" />
      <p class="drop-words">{over ? "Let go" : "Drop songs here"}</p>
      <label class="button primary">
        Choose files
        <input class="unseen" type="file" multiple accept="audio/*,video/*" onChange={choose} />
      </label>
      <p class="quiet">
        MP3, FLAC, WAV, M4A, Ogg and most others
        {limits && ` · up to ${formatBytes(limits.max_upload_bytes)} and ${formatSpan(limits.max_audio_seconds)}`}
      </p>
      {limits && limits.engines.length === 0 && (
        <p class="warning" role="status">
          No worker is running at the moment. Songs can be sent; they wait until one starts.
        </p>
      )}
    </div>
  );
}

/** Takes files dropped anywhere on the page; returns whether some hover. */
function useDrop(): boolean {
  const over = useSignal(false);
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const hover = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      over.value = true;
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) over.value = false;
    };
    const drop = (event: DragEvent) => {
      over.value = false;
      if (!hasFiles(event)) return;
      event.preventDefault();
      take(event.dataTransfer?.files ?? []);
    };
    window.addEventListener("dragover", hover, { signal });
    window.addEventListener("dragleave", leave, { signal });
    window.addEventListener("drop", drop, { signal });
    return () => stop.abort();
  }, []);
  return over.value;
}
