// A canvas that redraws when its content, its size or the colour scheme changes.

import { signal, useSignalEffect, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

/** Counts changes between light and dark, because canvases read their colours from the style sheet. */
const scheme = signal(0);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => scheme.value++);

/** Draws in CSS pixels. It runs again when a signal that it has read changes. */
export type Draw = (pen: CanvasRenderingContext2D, width: number, height: number) => void;

export function Canvas({ draw }: { draw: Draw }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSignal({ width: 0, height: 0 });
  const current = useSignal(draw);
  useEffect(() => {
    current.value = draw;
  }, [draw]);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect;
      size.value = { width, height };
    });
    observer.observe(canvas.current!.parentElement!);
    return () => observer.disconnect();
  }, []);
  useSignalEffect(() => {
    const { width, height } = size.value;
    void scheme.value;
    const element = canvas.current;
    const pen = element?.getContext("2d");
    if (!element || !pen || width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
    pen.scale(ratio, ratio);
    current.value(pen, width, height);
  });
  return <canvas ref={canvas} aria-hidden="true" />;
}
