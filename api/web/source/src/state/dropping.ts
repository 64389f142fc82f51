// Files dropped anywhere on the page, whatever is open in it: else the browser would leave the page and open the file.

import { signal } from "@preact/signals";

/** Whether files hover over the page. */
export const hovering = signal(false);

/** Hands over what is dropped, until `stop` aborts. */
export function takeDrops(onFiles: (files: Iterable<File>) => void, stop: AbortSignal): void {
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  const listen = (kind: "dragover" | "dragleave" | "drop", act: (event: DragEvent) => void) =>
    window.addEventListener(kind, act, { signal: stop });
  listen("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hovering.value = true;
  });
  listen("dragleave", (event) => {
    if (!event.relatedTarget) hovering.value = false;
  });
  listen("drop", (event) => {
    hovering.value = false;
    if (!hasFiles(event)) return;
    event.preventDefault();
    onFiles(event.dataTransfer?.files ?? []);
  });
}
