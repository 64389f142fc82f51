// The player: play button, clock, and the switch between stems and original. It stays visible when the page scrolls.

import { useComputed } from "@preact/signals";

import type { Studio } from "../../state/studio";
import { formatExactTime, formatTime } from "../../words/numbers";
import { PLAYER_WORDS, withKey } from "../../words/studio";
import { Icon } from "../icons";
import { KeysHelp, blurAfterClick, useKeys } from "./keyboard";

export function TransportBar({ studio }: { studio: Studio }) {
  useKeys(studio);
  const playing = studio.playing.value;
  const label = playing ? PLAYER_WORDS.pause : PLAYER_WORDS.play;
  return (
    <section class="transport" aria-label={PLAYER_WORDS.label} onClick={blurAfterClick}>
      <button
        type="button"
        class={`play${studio.waiting.value ? " waiting" : ""}`}
        aria-label={label}
        title={withKey(label, "space")}
        onClick={() => studio.toggle()}
      >
        <Icon name={playing ? "pause" : "play"} />
      </button>
      <Clock studio={studio} />
      <HearSwitch studio={studio} />
      <p class="transport-note" role="status">
        {studio.fault.value ?? studio.mixtureFault.value ?? studio.paceFault.value ?? (studio.waiting.value ? PLAYER_WORDS.loading : noteOn(studio))}
      </p>
      <KeysHelp />
    </section>
  );
}

function noteOn(studio: Studio): string {
  return studio.hearingMixture.value && studio.stemsAddUp.value ? PLAYER_WORDS.stemsForOriginal : "";
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
    <div class="segmented" role="group" aria-label={PLAYER_WORDS.source}>
      <button type="button" aria-pressed={!original} onClick={() => void studio.hearMixture(false)}>
        {PLAYER_WORDS.stems}
      </button>
      <button
        type="button"
        aria-pressed={original}
        title={PLAYER_WORDS.compare}
        disabled={studio.mixtureFault.value !== null}
        onClick={() => void studio.hearMixture(true)}
      >
        {PLAYER_WORDS.original}
      </button>
    </div>
  );
}
