// A hook for buttons that send a request: one at a time, with a message if it fails.

import { useSignal } from "@preact/signals";

import { Problem } from "../api/client";

export function useAction() {
  const busy = useSignal(false);
  const fault = useSignal<string | null>(null);
  const run = async (action: () => Promise<void>) => {
    busy.value = true;
    fault.value = null;
    try {
      await action();
    } catch (error) {
      fault.value = error instanceof Problem ? error.message : String(error);
    } finally {
      busy.value = false;
    }
  };
  return { run: (action: () => Promise<void>) => void run(action), busy: busy.value, fault: fault.value };
}
