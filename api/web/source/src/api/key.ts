// The API key: asked for once, when the server first answers 401, and sent in a header alone.

import { signal } from "@preact/signals";

import { forget, recall, remember } from "../storage";

const STORED_AS = "stemqueue-api-key";

/** Why a key is asked for at the moment; null while none is. */
export const asking = signal<"missing" | "refused" | null>(null);

/** The key in use, if any. */
export const key = signal<string | null>(recall(STORED_AS));

let answered: Promise<void> | null = null;
let answer: () => void = () => undefined;

/** Opens the question, and waits until there is an answer to try. */
export function askForKey(): Promise<void> {
  asking.value = key.value ? "refused" : "missing";
  answered ??= new Promise((resolve) => {
    answer = resolve;
  });
  return answered;
}

/** Takes the answer; `keep` keeps it beyond this tab. */
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
