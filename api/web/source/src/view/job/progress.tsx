// The progress of a queued or running job.

import type { Job } from "../../api/types";
import { attemptWords, JOB_WORDS, progressWords, STAGES, timeLeftWords } from "../../words/jobs";
import { formatPercent } from "../../words/numbers";
import { Parting } from "../home/parting";

export function Progress({ job }: { job: Job }) {
  const running = job.state === "running";
  return (
    <section class="panel progress-panel" aria-labelledby="progress-title">
      <Parting apart={running ? job.progress : 0} />
      <h2 id="progress-title">{running ? JOB_WORDS.running : JOB_WORDS.queued}</h2>
      <p class="progress-words" role="status">
        {running && !job.waiting_for ? formatPercent(job.progress) : progressWords(job)}
        <span class="quiet"> {timeLeftWords(job)}</span>
      </p>
      {job.waiting_because && <p class="quiet">{job.waiting_because}</p>}
      <progress class="big" max={1} value={running ? job.progress : 0} aria-label={JOB_WORDS.progressLabel} />
      <Stages stage={running ? job.stage : null} />
      {job.attempt > 1 && <p class="quiet">{attemptWords(job.attempt)}</p>}
      <p class="quiet">{JOB_WORDS.mayLeave}</p>
    </section>
  );
}

function Stages({ stage }: { stage: string | null }) {
  const now = STAGES.findIndex(([name]) => name === stage);
  return (
    <ol class="stages">
      {STAGES.map(([name, words], place) => (
        <li key={name} class={place < now ? "past" : place === now ? "now" : ""} aria-current={place === now ? "step" : undefined}>
          {words}
        </li>
      ))}
    </ol>
  );
}
