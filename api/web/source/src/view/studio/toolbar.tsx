// Buttons for the loop and for the visible part of the song.

import { loopFromHere, loopToHere, ZOOM_STEP, type Studio } from "../../state/studio";
import { formatTime } from "../../words/numbers";
import { LOOP_WORDS, withKey, ZOOM_WORDS } from "../../words/studio";
import { Icon } from "../icons";

export function LoopButtons({ studio }: { studio: Studio }) {
  const loop = studio.loop.value;
  const start = studio.job.excerpt?.start_seconds ?? 0;
  return (
    <div class="button-row loop-buttons" role="group" aria-label={LOOP_WORDS.label}>
      <Icon name="loop" />
      <button type="button" class="small" aria-label={LOOP_WORDS.fromLabel} title={withKey(LOOP_WORDS.fromLabel, "[")} onClick={() => loopFromHere(studio)}>
        {LOOP_WORDS.from}
      </button>
      <button type="button" class="small" aria-label={LOOP_WORDS.toLabel} title={withKey(LOOP_WORDS.toLabel, "]")} onClick={() => loopToHere(studio)}>
        {LOOP_WORDS.to}
      </button>
      {/* Both have the same place, so that the lanes do not move under the pointer during a drag. */}
      <span class="loop-place">
        {loop ? (
          <button type="button" class="small chosen" title={withKey(LOOP_WORDS.stop, "l")} onClick={() => studio.repeat(null)}>
            {formatTime(start + loop.from)}–{formatTime(start + loop.to)}
            <Icon name="close" />
            <span class="unseen">{LOOP_WORDS.stop}</span>
          </button>
        ) : (
          <span class="hint">{LOOP_WORDS.hint}</span>
        )}
      </span>
    </div>
  );
}

export function ZoomButtons({ studio }: { studio: Studio }) {
  const { from, to } = studio.window.value;
  const whole = to - from >= studio.duration;
  const loop = studio.loop.value;
  return (
    <div class="button-row zoom-buttons" role="group" aria-label={ZOOM_WORDS.label}>
      <button
        type="button"
        class="toggle"
        aria-label={ZOOM_WORDS.loop}
        title={ZOOM_WORDS.loop}
        disabled={!loop}
        onClick={() => loop && studio.zoom(loop)}
      >
        <Icon name="span" />
      </button>
      <button type="button" class="toggle" aria-label={ZOOM_WORDS.out} title={ZOOM_WORDS.out} disabled={whole} onClick={() => studio.zoomBy(1 / ZOOM_STEP)}>
        <Icon name="minus" />
      </button>
      <button type="button" class="toggle" aria-label={ZOOM_WORDS.in} title={ZOOM_WORDS.in} onClick={() => studio.zoomBy(ZOOM_STEP)}>
        <Icon name="plus" />
      </button>
      <button
        type="button"
        class="toggle"
        aria-label={ZOOM_WORDS.whole}
        title={ZOOM_WORDS.whole}
        disabled={whole}
        onClick={() => studio.zoom({ from: 0, to: studio.duration })}
      >
        <Icon name="whole" />
      </button>
    </div>
  );
}
