// Lines at the song's beats, over a lane's waveform.

import { useCallback } from "preact/hooks";

import type { Studio } from "../../state/studio";
import { Canvas } from "./canvas";

/** Where beats are closer together than this, only every second, fourth, … of them gets a line. */
const CLOSEST_PIXELS = 7;

export function BeatGrid({ studio }: { studio: Studio }) {
  const draw = useCallback(
    (pen: CanvasRenderingContext2D, width: number, height: number) => {
      const times = studio.beats.times.value;
      const { from, to } = studio.window.value;
      const pixels = width / (to - from);
      const spacing = ((times.at(-1)! - times[0]!) / (times.length - 1)) * pixels;
      let step = 1;
      while (spacing * step < CLOSEST_PIXELS) step *= 2;
      pen.fillStyle = getComputedStyle(pen.canvas).color;
      for (let beat = 0; beat < times.length; beat += step) {
        const seconds = times[beat]!;
        if (seconds >= from && seconds <= to) pen.fillRect(Math.round((seconds - from) * pixels), 0, 1, height);
      }
    },
    [studio],
  );
  if (studio.beats.times.value.length < 2) return null;
  return (
    <div class="beat-grid">
      <Canvas draw={draw} />
    </div>
  );
}
