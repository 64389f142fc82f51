// Play, the time, the loop, original against stems, and how much of the song is in view; with the keys that do the same.

import { useComputed } from "@preact/signals";
import { useEffect } from "preact/hooks";

import type { Studio } from "../state/studio";
import { formatExactTime, formatTime } from "../words";
import { Icon } from "./icons";

const SEEK_SECONDS = 5;
const ZOOM_STEP = 0.5;

export function TransportBar({ studio }: { studio: Studio }) {
  useKeys(studio);
  const playing = studio.playing.value;
  return (
    <div class="transport">
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
      <LoopButtons studio={studio} />
      <ZoomButtons studio={studio} />
      <p class="transport-note" role="status">
        {studio.fault.value ?? studio.mixtureFault.value ?? (studio.waiting.value ? "Loading the sound…" : "")}
      </p>
    </div>
  );
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

function LoopButtons({ studio }: { studio: Studio }) {
  const loop = studio.loop.value;
  const start = studio.job.excerpt?.start_seconds ?? 0;
  return (
    <div class="button-row loop-buttons" role="group" aria-label="Loop">
      <Icon name="loop" />
      <button type="button" class="small" aria-label="Loop from here" title="Loop from here ([)" onClick={() => loopFromHere(studio)}>
        From here
      </button>
      <button type="button" class="small" aria-label="Loop up to here" title="Loop up to here (])" onClick={() => loopToHere(studio)}>
        To here
      </button>
      {/* One place for both, so that a drag does not move the lanes under the pointer. */}
      <span class="loop-place">
        {loop ? (
          <button type="button" class="small chosen" title="Stop looping (l)" onClick={() => studio.repeat(null)}>
            {formatTime(start + loop.from)}–{formatTime(start + loop.to)}
            <Icon name="close" />
            <span class="unseen">Stop looping</span>
          </button>
        ) : (
          <span class="hint">or drag over a track</span>
        )}
      </span>
    </div>
  );
}

function ZoomButtons({ studio }: { studio: Studio }) {
  const { from, to } = studio.window.value;
  const whole = to - from >= studio.duration;
  const loop = studio.loop.value;
  return (
    <div class="button-row zoom-buttons" role="group" aria-label="Zoom">
      <button
        type="button"
        class="toggle"
        aria-label="Zoom to the loop"
        title="Zoom to the loop"
        disabled={!loop}
        onClick={() => loop && studio.zoom(loop)}
      >
        <Icon name="span" />
      </button>
      <button type="button" class="toggle" aria-label="Zoom out" title="Zoom out" disabled={whole} onClick={() => studio.zoomBy(1 / ZOOM_STEP)}>
        <Icon name="minus" />
      </button>
      <button type="button" class="toggle" aria-label="Zoom in" title="Zoom in" onClick={() => studio.zoomBy(ZOOM_STEP)}>
        <Icon name="plus" />
      </button>
      <button
        type="button"
        class="toggle"
        aria-label="Show the whole song"
        title="Show the whole song"
        disabled={whole}
        onClick={() => studio.zoom({ from: 0, to: studio.duration })}
      >
        <Icon name="whole" />
      </button>
    </div>
  );
}

function loopFromHere(studio: Studio): void {
  const from = studio.position.value;
  const to = studio.loop.value?.to ?? studio.duration;
  studio.repeat({ from, to: to > from ? to : studio.duration });
}

function loopToHere(studio: Studio): void {
  const to = studio.position.value;
  const from = studio.loop.value?.from ?? 0;
  studio.repeat({ from: from < to ? from : 0, to });
}

/** Keys work wherever the focus is, but where they mean something else. */
function useKeys(studio: Studio): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
      if (event.key === " " && target.closest("button, a, summary")) return;
      const act = actions(studio)[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [studio]);
}

function actions(studio: Studio): Record<string, () => void> {
  const solo = Object.fromEntries(
    studio.strips.map((strip, i) => [String(i + 1), () => void (strip.solo.value = !strip.solo.value)]),
  );
  return {
    " ": () => studio.toggle(),
    ArrowRight: () => studio.seek(studio.position.value + SEEK_SECONDS),
    ArrowLeft: () => studio.seek(studio.position.value - SEEK_SECONDS),
    o: () => void studio.hearMixture(!studio.hearingMixture.value),
    l: () => studio.repeat(null),
    "[": () => loopFromHere(studio),
    "]": () => loopToHere(studio),
    "+": () => studio.zoomBy(ZOOM_STEP),
    "-": () => studio.zoomBy(1 / ZOOM_STEP),
    ...solo,
  };
}
