// How a waiting or running job stands.

import type { Job } from "../../api/types";
import { formatSpan, plural, progressWords, STAGES } from "../../words/jobs";
import { Parting } from "../home/parting";

export function Progress({ job }: { job: Job }) {
  const running = job.state === "running";
  return (
    <section class="panel progress-panel" aria-labelledby="progress-title">
      <Parting apart={running ? job.progress : 0} />
      <h2 id="progress-title">{running ? "Taking it apart" : "In line"}</h2>
      <p class="progress-words" role="status">
        {running ? `${Math.floor(job.progress * 100)} %` : progressWords(job)}
        <span class="quiet"> {timeWords(job)}</span>
      </p>
      <progress class="big" max={1} value={running ? job.progress : 0} aria-label="Progress of this song" />
      <Stages stage={running ? job.stage : null} />
      {job.attempt > 1 && <p class="quiet">This is attempt {job.attempt}: the one before was interrupted.</p>}
      <p class="quiet">You can leave: the work goes on, and this address keeps its place.</p>
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

function timeWords(job: Job): string {
  if (job.eta_seconds === null) return "";
  if (job.state === "running") return `about ${formatSpan(job.eta_seconds)} left`;
  const ahead = (job.queue_position ?? 1) - 1;
  const others = ahead > 0 ? `${plural(ahead, "song")} before it, ` : "";
  return `${others}done in about ${formatSpan(job.eta_seconds)}`;
}
