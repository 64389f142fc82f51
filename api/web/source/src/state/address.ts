// Keeps the studio's settings in the URL's hash: a reload keeps the mix and the loop, and a link shares them. The server never
// sees the hash.

import { effect } from "@preact/signals";

import { MOST_SEMITONES, SLOWEST, type Studio } from "./studio";

/** Browsers allow only a few changes of the URL per second. */
const SETTLED_MILLISECONDS = 400;

const MUTED = "mute";
const SOLO = "solo";

/** Applies the URL's settings to the studio, and then writes the studio's settings to the URL until `stop` aborts. */
export function keepInAddress(studio: Studio, stop: AbortSignal): void {
  setFrom(location.hash, studio);
  window.addEventListener("hashchange", () => setFrom(location.hash, studio), { signal: stop });
  let timer: number | undefined;
  const end = effect(() => {
    const hash = hashOf(studio);
    window.clearTimeout(timer);
    timer = window.setTimeout(() => {
      if (hash !== location.hash) history.replaceState(null, "", location.pathname + hash);
    }, SETTLED_MILLISECONDS);
  });
  stop.addEventListener("abort", () => {
    window.clearTimeout(timer);
    end();
  });
}

function hashOf({ strips, loop, speed, semitones, position, playing }: Studio): string {
  const words: Record<string, string> = {};
  for (const { stem, volume, muted, solo } of strips) {
    const set = [volume.value < 1 && Math.round(volume.value * 100), muted.value && MUTED, solo.value && SOLO];
    const told = set.filter((word) => word !== false);
    if (told.length) words[stem.name] = told.join("-");
  }
  if (loop.value) words.loop = `${inTenths(loop.value.from)}-${inTenths(loop.value.to)}`;
  if (speed.value < 1) words.speed = String(Math.round(speed.value * 100));
  if (semitones.value) words.pitch = String(semitones.value);
  // During playback the position changes too often.
  const seconds = playing.value ? 0 : inTenths(position.value);
  if (seconds > 0) words.t = String(seconds);
  const hash = new URLSearchParams(words).toString();
  return hash && `#${hash}`;
}

function setFrom(hash: string, studio: Studio): void {
  const words = new URLSearchParams(hash.slice(1));
  for (const { stem, volume, muted, solo } of studio.strips) {
    const told = words.get(stem.name)?.split("-") ?? [];
    const percent = told.map(Number).find((number) => number >= 0 && number <= 100);
    volume.value = (percent ?? 100) / 100;
    muted.value = told.includes(MUTED);
    solo.value = told.includes(SOLO);
  }
  const [from = NaN, to = NaN] = (words.get("loop") ?? "").split("-").map(Number);
  const { duration } = studio;
  studio.repeat(from >= 0 && from < to ? { from: Math.min(from, duration), to: Math.min(to, duration) } : null);
  const percent = Number(words.get("speed"));
  studio.speed.value = percent >= 100 * SLOWEST && percent < 100 ? Math.round(percent) / 100 : 1;
  const semitones = Math.round(Number(words.get("pitch")));
  studio.semitones.value = Math.abs(semitones) <= MOST_SEMITONES ? semitones : 0;
  const seconds = Number(words.get("t"));
  if (seconds > 0) studio.seek(seconds);
}

function inTenths(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
