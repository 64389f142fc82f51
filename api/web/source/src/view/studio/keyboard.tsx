// The keys that do what the buttons do, and the list of them.

import { useEffect, useRef } from "preact/hooks";

import { loopFromHere, loopToHere, ZOOM_STEP, type Studio } from "../../state/studio";
import { Icon } from "../icons";

const SEEK_SECONDS = 5;

const HELP: readonly (readonly [keys: string[], words: string])[] = [
  [["Space"], "Play or pause"],
  [["←", "→"], `${SEEK_SECONDS} seconds back or on`],
  [["0"], "Back to the start"],
  [["1", "2", "…"], "Solo a stem; with Shift, mute it"],
  [["o"], "The original, or the stems"],
  [["[", "]"], "Loop from here, up to here"],
  [["l"], "Stop looping"],
  [["+", "−"], "Zoom in or out; Ctrl and the wheel do so too"],
  [["?"], "This list"],
];

export function KeysHelp() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "?" && !isTyping(event)) dialog.current?.showModal();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);
  return (
    <>
      <button type="button" class="toggle keys-button" aria-label="Keys" title="Keys (?)" onClick={() => dialog.current?.showModal()}>
        <Icon name="keys" />
      </button>
      <dialog ref={dialog} aria-labelledby="keys-title">
        <form method="dialog">
          <h2 id="keys-title">Keys</h2>
          <dl class="keys">
            {HELP.map(([keys, words]) => (
              <div key={words}>
                <dt>
                  {keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{words}</dd>
              </div>
            ))}
          </dl>
          <button type="submit">Close</button>
        </form>
      </dialog>
    </>
  );
}

/** Keys work wherever the focus is, but where they mean something else. */
export function useKeys(studio: Studio): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
      if (event.key === " " && (event.target as HTMLElement).closest("button, summary, a")) return;
      // Shift and a digit give another character on each keyboard; which key it is, tells the code.
      const muted = event.shiftKey ? studio.strips[Number(/^Digit(\d)$/.exec(event.code)?.[1]) - 1]?.muted : undefined;
      const act = muted ? () => void (muted.value = !muted.value) : actions(studio)[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [studio]);
}

function actions(studio: Studio): Record<string, () => void> {
  const solo = Object.fromEntries(
    studio.strips.map((strip, i) => [String(i + 1), () => void (strip.solo.value = !strip.solo.value)]),
  );
  return {
    " ": () => studio.toggle(),
    "0": () => studio.seek(0),
    ArrowRight: () => studio.seek(studio.position.value + SEEK_SECONDS),
    ArrowLeft: () => studio.seek(studio.position.value - SEEK_SECONDS),
    o: () => void studio.hearMixture(!studio.hearingMixture.value),
    l: () => studio.repeat(null),
    "[": () => loopFromHere(studio),
    "]": () => loopToHere(studio),
    "+": () => studio.zoomBy(ZOOM_STEP),
    "-": () => studio.zoomBy(1 / ZOOM_STEP),
    ...solo,
  };
}

/** Whether a key means something to what has the focus; to a fader only what moves it does. */
function isTyping({ target, key }: KeyboardEvent): boolean {
  const field = (target as HTMLElement).closest("input, select, textarea, dialog");
  const isFader = field instanceof HTMLInputElement && field.type === "range";
  return field !== null && !(isFader && !/^(Arrow|Page|Home|End)/.test(key));
}

/** Gives the focus back after a click: the next press of the space bar is to play, not to press the button again. */
export function letGoAfterClick(event: MouseEvent): void {
  const button = (event.target as HTMLElement).closest("button");
  // A press of a key is a click too, without a place in the count.
  if (button && event.detail > 0) button.blur();
}
