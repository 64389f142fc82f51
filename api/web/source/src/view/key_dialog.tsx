// The dialog that asks for an API key when the server requires one.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { asking, giveKey } from "../api/key";
import { KEY_WORDS } from "../words/page";

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
        <h2 id="key-title">{KEY_WORDS.title}</h2>
        <p>{why === "refused" ? KEY_WORDS.refused : KEY_WORDS.missing}</p>
        <label class="field">
          {KEY_WORDS.field}
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
          {KEY_WORDS.remember}
        </label>
        <button type="submit" class="primary">
          {KEY_WORDS.submit}
        </button>
      </form>
    </dialog>
  );
}
