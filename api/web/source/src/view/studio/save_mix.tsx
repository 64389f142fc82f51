// Saves the mix, as the faders are set, as one file: for example a song with quiet vocals to sing to.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { saveBlob } from "../../api/media";
import { go, jobPath } from "../../routes";
import { canBeStemFile } from "../../state/engines";
import { currentMix, keepMix, makeStemFile, mixFilename, renderMix } from "../../state/mixdown";
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
    // The faders may be moved in the meantime.
    const mix = currentMix(studio);
    share.value = 0;
    fault.value = null;
    try {
      const file = await renderMix(mix, (done) => (share.value = done), controller.signal);
      saveBlob(file, mixFilename(mix, studio.job));
    } catch (error) {
      if (!controller.signal.aborted) fault.value = error instanceof Error ? error.message : String(error);
    } finally {
      share.value = null;
    }
  };
  const audible = currentMix(studio).length > 0;
  return (
    <div class="save-mix">
      <p class="hint" role="status">
        {fault.value ?? keepFault ?? (audible ? MIXER_WORDS.saveHint : MIXER_WORDS.nothingToSave)}
      </p>
      {canBeStemFile(studio.job) && (
        <button type="button" class="small" disabled={busy} onClick={() => run(async () => go(jobPath(await makeStemFile(studio))))}>
          {MIXES_WORDS.stemFile}
        </button>
      )}
      {audible && (
        <button type="button" class="small" disabled={busy} onClick={() => run(async () => go(jobPath(await keepMix(studio))))}>
          {MIXES_WORDS.keep}
        </button>
      )}
      {share.value === null ? (
        <button type="button" class="small" disabled={!audible} onClick={() => void save()}>
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
