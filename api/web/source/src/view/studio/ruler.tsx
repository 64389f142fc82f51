// The time axis: ticks, and the slider for seeking by keyboard and screen reader.

import type { Studio } from "../../state/studio";
import { formatExactTime, formatTime } from "../../words/numbers";
import { MIXER_WORDS, positionWords } from "../../words/studio";
import { Lane } from "./lane";

const STEPS_SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const MOST_TICKS = 9;

// The same on a phone.
const MOST_TICKS_NARROW = 5;
const LAST_TICK_SHARE_NARROW = 0.86;
const narrow = matchMedia("(max-width: 44rem)");

/** Further right, there is no room for a tick's label. */
const LAST_TICK_SHARE = 0.93;

const SMALL_STEP_SECONDS = 1;
const STEP_SECONDS = 5;

/** `seekable` adds the slider, of which one is enough for all lanes. */
export function Ruler({ studio, seekable = false }: { studio: Studio; seekable?: boolean }) {
  const { from, to } = studio.window.value;
  const [most, last] = narrow.matches ? [MOST_TICKS_NARROW, LAST_TICK_SHARE_NARROW] : [MOST_TICKS, LAST_TICK_SHARE];
  const step = STEPS_SECONDS.find((s) => (to - from) / s <= most) ?? 3600;
  const first = Math.ceil(from / step);
  const count = Math.floor(to / step) - first + 1;
  const start = studio.job.excerpt?.start_seconds ?? 0;
  const share = (seconds: number) => (seconds - from) / (to - from);
  const label = (seconds: number) => (step < 1 ? formatExactTime(seconds) : formatTime(seconds));
  return (
    <Lane studio={studio} kind="ruler">
      {seekable && <SeekSlider studio={studio} />}
      {Array.from({ length: count }, (_, i) => (first + i) * step)
        .filter((seconds) => share(seconds) <= last)
        .map((seconds) => (
          <span class="tick" key={seconds} style={{ left: `${share(seconds) * 100}%` }} aria-hidden="true">
            {label(start + seconds)}
          </span>
        ))}
    </Lane>
  );
}

function SeekSlider({ studio }: { studio: Studio }) {
  // Whole seconds, because screen readers read the slider aloud.
  const seconds = Math.floor(studio.position.value);
  const keys: Record<string, number> = {
    ArrowRight: seconds + STEP_SECONDS,
    ArrowLeft: seconds - STEP_SECONDS,
    ArrowUp: seconds + SMALL_STEP_SECONDS,
    ArrowDown: seconds - SMALL_STEP_SECONDS,
    PageUp: seconds + 30,
    PageDown: seconds - 30,
    Home: 0,
    End: studio.duration,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const target = keys[event.key];
    if (target === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    studio.seek(target);
  };
  return (
    <div
      class="seek-slider"
      role="slider"
      tabIndex={0}
      aria-label={MIXER_WORDS.position}
      aria-valuemin={0}
      aria-valuemax={Math.floor(studio.duration)}
      aria-valuenow={seconds}
      aria-valuetext={positionWords(seconds, studio.duration)}
      onKeyDown={onKeyDown}
    />
  );
}
