// The keys that do what the buttons do, and the list of them.

import { useEffect, useRef } from "preact/hooks";

import { loopFromHere, loopToHere, ZOOM_STEP, type Studio } from "../state/studio";
import { Icon } from "./icons";

const SEEK_SECONDS = 5;

const HELP: readonly (readonly [keys: string[], words: string])[] = [
  [["Space"], "Play or pause"],
  [["←", "→"], `${SEEK_SECONDS} seconds back or on`],
  [["1", "2", "…"], "Solo a stem"],
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
      if (event.key === " " && (event.target as HTMLElement).closest("button, summary")) return;
      const act = actions(studio)[event.key];
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

function isTyping(event: KeyboardEvent): boolean {
  return (event.target as HTMLElement).closest("input, select, textarea, dialog") !== null;
}
