// The start page: upload songs, and choose how they are separated.

import type { Job } from "../../api/types";
import { go, isHome, jobPath } from "../../routes";
import { hovering } from "../../state/dropping";
import { engines } from "../../state/engines";
import { addFiles } from "../../state/uploads";
import { acceptedWords, HOME_WORDS } from "../../words/home";
import { OptionsPanel, PartChoice } from "./options";
import { Parting } from "./parting";
import { Uploads } from "./uploads";

/** Uploads files. A single song's job is opened; of several, the library shows the jobs. */
export function uploadFiles(files: Iterable<File>): void {
  const list = [...files];
  addFiles(list, (job: Job) => {
    if (list.length === 1 && isHome()) go(jobPath(job.id));
  });
}

export function Home() {
  return (
    <div class="home">
      <h1>{HOME_WORDS.title}</h1>
      <p class="lead">{HOME_WORDS.lead}</p>
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
    uploadFiles(input.files ?? []);
    // So that the same file can be chosen again.
    input.value = "";
  };
  return (
    <div class={over ? "drop over" : "drop"}>
      <Parting apart={over ? 0 : 1} />
      <p class="drop-words">{over ? HOME_WORDS.release : HOME_WORDS.drop}</p>
      <label class="button primary">
        {HOME_WORDS.choose}
        <input class="unseen" type="file" multiple onChange={choose} />
      </label>
      <p class="quiet">
        {acceptedWords(limits)}
      </p>
      {limits && limits.engines.length === 0 && (
        <p class="warning" role="status">
          {HOME_WORDS.noWorker}
        </p>
      )}
    </div>
  );
}
