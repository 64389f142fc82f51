// A lane of the common time axis. All lanes share the time window, the play head, the loop, and the mouse gestures.

import { useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { SHORTEST_LOOP_SECONDS, type Studio } from "../../state/studio";
import { formatExactTime } from "../../words/numbers";
import { BeatGrid } from "./beat_grid";

/** A press that moves less than this is a click. */
const DRAG_PIXELS = 5;

interface LaneProps {
  studio: Studio;
  kind: string;
  children?: ComponentChildren;
}

export function Lane({ studio, kind, children }: LaneProps) {
  const lane = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const stop = new AbortController();
    addGestures(lane.current!, studio, stop.signal);
    return () => stop.abort();
  }, [studio]);
  return (
    <div class={`lane ${kind}`} ref={lane}>
      {children}
      {kind === "wave" && <BeatGrid studio={studio} />}
      <LoopMark studio={studio} />
      <Pointed studio={studio} labelled={kind === "ruler"} />
      <PlayHead studio={studio} />
    </div>
  );
}

/** A line at the pointer's time through all lanes. */
function Pointed({ studio, labelled }: { studio: Studio; labelled: boolean }) {
  const line = useRef<HTMLDivElement>(null);
  useSignalEffect(() => {
    const { from, to } = studio.window.value;
    const seconds = studio.pointed.value;
    if (!line.current) return;
    line.current.hidden = seconds === null;
    if (seconds === null) return;
    const share = (seconds - from) / (to - from);
    line.current.style.transform = `translateX(${share * 100}%)`;
    line.current.classList.toggle("leftwards", share > 0.9);
    if (labelled) line.current.firstElementChild!.textContent = formatExactTime((studio.job.excerpt?.start_seconds ?? 0) + seconds);
  });
  return (
    <div class="pointed" ref={line} hidden aria-hidden="true">
      {labelled && <span />}
    </div>
  );
}

function PlayHead({ studio }: { studio: Studio }) {
  const line = useRef<HTMLDivElement>(null);
  // This runs sixty times a second, so it bypasses the renderer.
  useSignalEffect(() => {
    const { from, to } = studio.window.value;
    const share = (studio.position.value - from) / (to - from);
    if (!line.current) return;
    line.current.style.transform = `translateX(${share * 100}%)`;
    line.current.hidden = share < 0 || share > 1;
  });
  return <div class="play-head" ref={line} />;
}

function LoopMark({ studio }: { studio: Studio }) {
  const loop = studio.loop.value;
  if (!loop) return null;
  const { from, to } = studio.window.value;
  const left = ((loop.from - from) / (to - from)) * 100;
  const width = ((loop.to - loop.from) / (to - from)) * 100;
  return <div class="loop-mark" style={{ left: `${left}%`, width: `${width}%` }} />;
}

/** A click seeks, a drag sets the loop, Ctrl with the wheel zooms, and a sideways wheel scrolls. */
function addGestures(lane: HTMLElement, studio: Studio, signal: AbortSignal): void {
  const secondsAt = (x: number): number => {
    const box = lane.getBoundingClientRect();
    const { from, to } = studio.window.value;
    return Math.max(0, Math.min(studio.duration, from + ((x - box.left) / box.width) * (to - from)));
  };
  let pressed: { x: number; seconds: number; dragged: boolean } | null = null;
  lane.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = { x: event.clientX, seconds: secondsAt(event.clientX), dragged: false };
    lane.setPointerCapture(event.pointerId);
  }, { signal });
  lane.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse") studio.pointed.value = secondsAt(event.clientX);
    if (!pressed || (!pressed.dragged && Math.abs(event.clientX - pressed.x) < DRAG_PIXELS)) return;
    pressed.dragged = true;
    studio.loop.value = studio.beats.snap(ordered(pressed.seconds, secondsAt(event.clientX)));
  }, { signal });
  lane.addEventListener("pointerup", () => {
    if (pressed && !pressed.dragged) studio.seek(pressed.seconds);
    else if (pressed) studio.repeat(studio.loop.value);
    pressed = null;
  }, { signal });
  lane.addEventListener("pointerleave", () => (studio.pointed.value = null), { signal });
  lane.addEventListener("pointercancel", () => (pressed = null), { signal });
  lane.addEventListener("wheel", (event) => {
    const { from, to } = studio.window.value;
    if (event.ctrlKey) {
      event.preventDefault();
      studio.zoomBy(Math.exp(event.deltaY / 300), secondsAt(event.clientX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && to - from < studio.duration) {
      event.preventDefault();
      const shift = (event.deltaX / lane.clientWidth) * (to - from);
      studio.zoom({ from: from + shift, to: to + shift });
    }
  }, { signal, passive: false });
}

function ordered(a: number, b: number): { from: number; to: number } {
  const span = { from: Math.min(a, b), to: Math.max(a, b) };
  return span.to - span.from < SHORTEST_LOOP_SECONDS ? { ...span, to: span.from + SHORTEST_LOOP_SECONDS } : span;
}
