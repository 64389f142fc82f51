// Saves what the faders are set to as one file: a song with little of its voice, to sing to.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { saveBlob } from "../../api/media";
import { heardStrips, makeMix, mixName } from "../../state/mixdown";
import type { Studio } from "../../state/studio";
import { Icon } from "../icons";

export function SaveMix({ studio }: { studio: Studio }) {
  const share = useSignal<number | null>(null);
  const fault = useSignal<string | null>(null);
  const stop = useSignal<AbortController | null>(null);
  useEffect(() => () => stop.peek()?.abort(), []);
  const save = async () => {
    const controller = (stop.value = new AbortController());
    const name = mixName(studio, studio.job);
    share.value = 0;
    fault.value = null;
    try {
      const file = await makeMix(studio, (done) => (share.value = done), controller.signal);
      saveBlob(file, name);
    } catch (error) {
      if (!controller.signal.aborted) fault.value = error instanceof Error ? error.message : String(error);
    } finally {
      share.value = null;
    }
  };
  const percent = Math.floor((share.value ?? 0) * 100);
  return (
    <div class="save-mix">
      <p class="hint" role="status">
        {fault.value ?? (heardStrips(studio).length ? "At these volumes, as WAV" : "No stem sounds")}
      </p>
      {share.value === null ? (
        <button type="button" class="small" disabled={!heardStrips(studio).length} onClick={() => void save()}>
          <Icon name="download" /> Save this mix
        </button>
      ) : (
        <button type="button" class="small" onClick={() => stop.value?.abort()}>
          <Icon name="close" /> Mixing, {percent} %<span class="unseen">: stop</span>
        </button>
      )}
    </div>
  );
}
