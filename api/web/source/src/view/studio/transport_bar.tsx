// Play, the time, and original against stems: always in reach, however far the page is scrolled.

import { useComputed } from "@preact/signals";

import type { Studio } from "../../state/studio";
import { formatExactTime, formatTime } from "../../words/jobs";
import { Icon } from "../icons";
import { KeysHelp, letGoAfterClick, useKeys } from "./keyboard";

export function TransportBar({ studio }: { studio: Studio }) {
  useKeys(studio);
  const playing = studio.playing.value;
  return (
    <section class="transport" aria-label="Player" onClick={letGoAfterClick}>
      <button
        type="button"
        class={`play${studio.waiting.value ? " waiting" : ""}`}
        aria-label={playing ? "Pause" : "Play"}
        title={playing ? "Pause (space)" : "Play (space)"}
        onClick={() => studio.toggle()}
      >
        <Icon name={playing ? "pause" : "play"} />
      </button>
      <Clock studio={studio} />
      <HearSwitch studio={studio} />
      <p class="transport-note" role="status">
        {studio.fault.value ?? studio.mixtureFault.value ?? (studio.waiting.value ? "Loading the sound…" : noteOn(studio))}
      </p>
      <KeysHelp />
    </section>
  );
}

function noteOn(studio: Studio): string {
  if (!studio.hearingMixture.value || !studio.sumForMixture.value) return "";
  return "This browser cannot play the original's format: you hear all stems together, which are the same.";
}

function Clock({ studio }: { studio: Studio }) {
  const start = studio.job.excerpt?.start_seconds ?? 0;
  const now = useComputed(() => formatExactTime(start + studio.position.value));
  return (
    <p class="clock">
      <span class="clock-now">{now}</span>
      <span class="quiet"> / {formatTime(start + studio.duration)}</span>
    </p>
  );
}

function HearSwitch({ studio }: { studio: Studio }) {
  const original = studio.hearingMixture.value;
  return (
    <div class="segmented" role="group" aria-label="What is heard">
      <button type="button" aria-pressed={!original} onClick={() => void studio.hearMixture(false)}>
        Stems
      </button>
      <button
        type="button"
        aria-pressed={original}
        title="Compare with the song as it was (o)"
        disabled={studio.mixtureFault.value !== null}
        onClick={() => void studio.hearMixture(true)}
      >
        Original
      </button>
    </div>
  );
}
