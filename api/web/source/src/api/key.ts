// The API key: the page asks for it when the server first answers 401, and sends it only in a header.

import { signal } from "@preact/signals";

import { forget, recall, remember } from "../storage";

const STORED_AS = "stemqueue-api-key";

/** Why the page is asking for a key; null while it is not. */
export const asking = signal<"missing" | "refused" | null>(null);

/** The key in use, if any. */
export const key = signal<string | null>(recall(STORED_AS));

let answered: Promise<void> | null = null;
let answer: () => void = () => undefined;

/** Opens the dialog, and waits until the user has entered a key to try. */
export function askForKey(): Promise<void> {
  asking.value = key.value ? "refused" : "missing";
  answered ??= new Promise((resolve) => {
    answer = resolve;
  });
  return answered;
}

/** Sets the key that the user has entered; `keep` remembers it after this tab is closed. */
export function giveKey(given: string, keep: boolean): void {
  forget(STORED_AS);
  remember(STORED_AS, given, keep ? "localStorage" : "sessionStorage");
  key.value = given;
  asking.value = null;
  answered = null;
  answer();
}

export function forgetKey(): void {
  forget(STORED_AS);
  key.value = null;
}
