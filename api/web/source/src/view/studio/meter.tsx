// How loud a stem is at the moment, after its fader: seen, one knows which stem it is that one hears.

import { useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";

import type { Strip, Studio } from "../../state/studio";

/** What the meter's left end stands for. */
const LOWEST_DB = -48;

/** How much of its height a peak keeps from picture to picture. */
const FALL = 0.9;

export function Meter({ strip, studio }: { strip: Strip; studio: Studio }) {
  const bar = useRef<HTMLDivElement>(null);
  useSignalEffect(() => {
    const ear = strip.ear.value;
    const draw = (share: number) => {
      if (bar.current) bar.current.style.transform = `scaleX(${share})`;
    };
    if (!ear || !studio.playing.value) return draw(0);
    const samples = new Float32Array(ear.fftSize);
    let shown = 0;
    let frame = requestAnimationFrame(function look() {
      ear.getFloatTimeDomainData(samples);
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
