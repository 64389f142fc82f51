// The outline of a stem, drawn from peaks that the server has measured.

import type { Signal } from "@preact/signals";
import { useCallback } from "preact/hooks";

import type { Waveform } from "../../api/types";
import type { Span } from "../../state/studio";
import { Canvas } from "./canvas";

interface WaveformProps {
  outline: Waveform | null;
  /** The sample value at the lane's edge. */
  loudest: number;
  window: Signal<Span>;
}

export function WaveformCanvas({ outline, loudest, window }: WaveformProps) {
  const draw = useCallback(
    (pen: CanvasRenderingContext2D, width: number, height: number) => {
      const span = window.value;
      pen.fillStyle = getComputedStyle(pen.canvas).color;
      const middle = height / 2;
      pen.fillRect(0, middle - 0.5, width, 1);
      if (!outline) return;
      const scale = (middle - 2) / loudest;
      // Columns must begin at the screen's own pixels. Otherwise some are drawn fainter, which looks like stripes.
      const column = 1 / (globalThis.devicePixelRatio || 1);
      const columns = Math.ceil(width / column);
      for (let i = 0; i < columns; i++) {
        const [low, high] = extremes(outline, span, i / columns, (i + 1) / columns);
        const top = middle - Math.min(high * scale, middle);
        const bottom = middle - Math.max(low * scale, -middle);
        pen.fillRect(i * column, top, column, Math.max(1, bottom - top));
      }
    },
    [outline, loudest],
  );
  return <Canvas draw={draw} />;
}

/** Returns the lowest and the highest sample in a part of the window, given as shares from 0 to 1. */
function extremes({ peaks, duration_seconds: duration }: Waveform, { from, to }: Span, start: number, stop: number) {
  const spans = peaks.length / 2;
  const place = (share: number) => ((from + share * (to - from)) / duration) * spans;
  const first = Math.max(0, Math.floor(place(start)));
  const last = Math.min(spans - 1, Math.max(first, Math.ceil(place(stop)) - 1));
  let low = Infinity;
  let high = -Infinity;
  for (let i = first; i <= last; i++) {
    low = Math.min(low, peaks[2 * i]!);
    high = Math.max(high, peaks[2 * i + 1]!);
  }
  return low <= high ? [low, high] : [0, 0];
}
