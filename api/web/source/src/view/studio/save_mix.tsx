// Saves the mix, as the faders are set, as one file: for example a song with quiet vocals to sing to.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { saveBlob } from "../../api/media";
import { go, jobPath } from "../../routes";
import { audibleStrips, keepMix, makeMix, mixFilename } from "../../state/mixdown";
import type { Studio } from "../../state/studio";
import { MIXER_WORDS, mixingWords } from "../../words/studio";
import { MIXES_WORDS } from "../../words/mixes";
import { useAction } from "../action";
import { Icon } from "../icons";

export function SaveMix({ studio }: { studio: Studio }) {
  const share = useSignal<number | null>(null);
  const fault = useSignal<string | null>(null);
  const { run, busy, fault: keepFault } = useAction();
  const stop = useSignal<AbortController | null>(null);
  useEffect(() => () => stop.peek()?.abort(), []);
  const save = async () => {
    const controller = (stop.value = new AbortController());
    const name = mixFilename(studio, studio.job);
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
  return (
    <div class="save-mix">
      <p class="hint" role="status">
        {fault.value ?? keepFault ?? (audibleStrips(studio).length ? MIXER_WORDS.saveHint : MIXER_WORDS.nothingToSave)}
      </p>
      {audibleStrips(studio).length > 0 && (
        <button type="button" class="small" disabled={busy} onClick={() => run(async () => go(jobPath(await keepMix(studio))))}>
          {MIXES_WORDS.keep}
        </button>
      )}
      {share.value === null ? (
        <button type="button" class="small" disabled={!audibleStrips(studio).length} onClick={() => void save()}>
          <Icon name="download" /> {MIXER_WORDS.save}
        </button>
      ) : (
        <button type="button" class="small" onClick={() => stop.value?.abort()}>
          <Icon name="close" /> {mixingWords(share.value)}
          <span class="unseen">{MIXER_WORDS.stopSaving}</span>
        </button>
      )}
    </div>
  );
}
