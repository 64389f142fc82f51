// Asks for the API key when the server wants one.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { asking, giveKey } from "../api/key";

export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const given = useSignal("");
  const remember = useSignal(false);
  const why = asking.value;
  useEffect(() => {
    if (why && !dialog.current?.open) dialog.current?.showModal();
    if (!why) dialog.current?.close();
  }, [why]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (given.value.trim()) giveKey(given.value.trim(), remember.value);
    given.value = "";
  };
  return (
    <dialog ref={dialog} aria-labelledby="key-title" onCancel={(event) => event.preventDefault()}>
      <form onSubmit={submit}>
        <h2 id="key-title">This server wants a key</h2>
        <p>{why === "refused" ? "The key was not accepted. Perhaps a part of it is missing." : "Whoever runs it can give you one."}</p>
        <label class="field">
          API key
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={given.value}
            onInput={(event) => (given.value = event.currentTarget.value)}
          />
        </label>
        <label class="choice">
          <input type="checkbox" checked={remember.value} onChange={(event) => (remember.value = event.currentTarget.checked)} />
          Keep it on this computer
        </label>
        <button type="submit" class="primary">
          Go on
        </button>
      </form>
    </dialog>
  );
}
