// What repeats, and how much of the song is in view.

import { loopFromHere, loopToHere, ZOOM_STEP, type Studio } from "../../state/studio";
import { formatTime } from "../../words/jobs";
import { Icon } from "../icons";

export function LoopButtons({ studio }: { studio: Studio }) {
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

export function ZoomButtons({ studio }: { studio: Studio }) {
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
