// Where files are dropped and what is to be done with them is chosen.

import type { Job } from "../../api/types";
import { go, isHome, jobPath } from "../../routes";
import { hovering } from "../../state/dropping";
import { engines } from "../../state/engines";
import { addFiles } from "../../state/uploads";
import { formatBytes, formatSpan } from "../../words/jobs";
import { OptionsPanel, PartChoice } from "./options";
import { Parting } from "./parting";
import { Uploads } from "./uploads";

/** Takes files; a single one is followed to its job, of many the list tells. */
export function take(files: Iterable<File>): void {
  const list = [...files];
  addFiles(list, (job: Job) => {
    if (list.length === 1 && isHome()) go(jobPath(job.id));
  });
}

export function Home() {
  return (
    <div class="home">
      <h1>Take a song apart</h1>
      <p class="lead">Drop a song and get its vocals and its accompaniment, to listen to, mix and keep.</p>
      <div class="panel desk">
        <DropZone />
        <Uploads />
        <PartChoice />
        <OptionsPanel />
      </div>
    </div>
  );
}

function DropZone() {
  const over = hovering.value;
  const limits = engines.value;
  const choose = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    take(input.files ?? []);
    // The same file may be chosen again.
    input.value = "";
  };
  return (
    <div class={over ? "drop over" : "drop"}>
      <Parting apart={over ? 0 : 1} />
      <p class="drop-words">{over ? "Let go" : "Drop songs or folders here"}</p>
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
