// Keyboard shortcuts for the studio, and the dialog that lists them.

import { useEffect, useRef } from "preact/hooks";

import { loopFromHere, loopToHere, ZOOM_STEP, type Studio } from "../../state/studio";
import { KEY_HELP_WORDS, keyHelp, withKey } from "../../words/studio";
import { Icon } from "../icons";
import { changeSpeed } from "./practice";

const SEEK_SECONDS = 5;

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
      <button type="button" class="toggle keys-button" aria-label={KEY_HELP_WORDS.title} title={withKey(KEY_HELP_WORDS.title, "?")} onClick={() => dialog.current?.showModal()}>
        <Icon name="keys" />
      </button>
      <dialog ref={dialog} aria-labelledby="keys-title">
        <form method="dialog">
          <h2 id="keys-title">{KEY_HELP_WORDS.title}</h2>
          <dl class="keys">
            {keyHelp(SEEK_SECONDS).map(([keys, words]) => (
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
          <button type="submit">{KEY_HELP_WORDS.close}</button>
        </form>
      </dialog>
    </>
  );
}

/** Handles the shortcuts, wherever the focus is, unless the focused element uses the key itself. */
export function useKeys(studio: Studio): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
      if (event.key === " " && (event.target as HTMLElement).closest("button, summary, a")) return;
      // With Shift, a digit key gives another character on each keyboard layout. Its code is always the same.
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
    ",": () => changeSpeed(studio, -1),
    ".": () => changeSpeed(studio, 1),
    "-": () => studio.zoomBy(1 / ZOOM_STEP),
    ...solo,
  };
}

/** Whether the focused element uses the key itself. Faders use only the keys that move them. */
function isTyping({ target, key }: KeyboardEvent): boolean {
  const field = (target as HTMLElement).closest("input, select, textarea, dialog");
  const isFader = field instanceof HTMLInputElement && field.type === "range";
  return field !== null && !(isFader && !/^(Arrow|Page|Home|End)/.test(key));
}

/** Removes the focus from a button after a mouse click, so that the space bar plays instead of pressing the button again. */
export function blurAfterClick(event: MouseEvent): void {
  const button = (event.target as HTMLElement).closest("button");
  // A key press causes a click event too, with a count of 0.
  if (button && event.detail > 0) button.blur();
}
