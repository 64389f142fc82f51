// The level of a stem behind its fader. It shows which stem one is hearing.

import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";

import type { Strip, Studio } from "../../state/studio";

/** The level at the meter's left end. */
const LOWEST_DB = -48;

/** How much of a peak remains in the next frame. */
const FALL = 0.9;

export function Meter({ strip, studio }: { strip: Strip; studio: Studio }) {
  const bar = useRef<HTMLDivElement>(null);
  useSignalEffect(() => {
    const analyser = strip.analyser.value;
    const draw = (share: number) => {
      if (bar.current) bar.current.style.transform = `scaleX(${share})`;
    };
    if (!analyser || !studio.playing.value) return draw(0);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    let frame = requestAnimationFrame(function look() {
      analyser.getFloatTimeDomainData(samples);
      shown = Math.max(shareOf(samples), shown * FALL);
      draw(shown);
      frame = requestAnimationFrame(look);
    });
    return () => cancelAnimationFrame(frame);
  });
  return (
    <div class="meter" aria-hidden="true">
      <div class="meter-bar" ref={bar} />
    </div>
  );
}

function shareOf(samples: Float32Array): number {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  return Math.max(0, Math.min(1, 1 - (20 * Math.log10(peak + 1e-9)) / LOWEST_DB));
}
