// Files on their way, with how far they are or why they are not taken.

import { useEffect } from "preact/hooks";

import { dismiss, sendings, tryAgain, type Sending } from "../../state/uploads";
import { formatBytes } from "../../words/jobs";
import { Icon } from "../icons";

export function Uploads() {
  const busy = sendings.value.some((s) => s.stage === "sending" || s.stage === "waiting");
  useEffect(() => {
    if (!busy) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [busy]);
  if (sendings.value.length === 0) return null;
  return (
    <section class="uploads" aria-labelledby="uploads-title">
      <h2 id="uploads-title">{busy || sendings.value.some((s) => s.stage === "submitting") ? "Sending" : "Not sent"}</h2>
      <ul>
        {sendings.value.map((sending) => (
          <UploadRow key={sending.id} sending={sending} />
        ))}
      </ul>
    </section>
  );
}

function UploadRow({ sending }: { sending: Sending }) {
  const { id, file, stage, fraction, message } = sending;
  const bad = stage === "refused" || stage === "failed";
  return (
    <li class={bad ? "upload bad" : "upload"}>
      <span class="file-name" dir="auto">{file.name}</span>
      <button type="button" class="toggle" aria-label={`${bad ? "Dismiss" : "Give up"} ${file.name}`} onClick={() => dismiss(id)}>
        <Icon name="close" />
      </button>
      {bad ? (
        <p class="upload-note" role="alert">
          {message}{" "}
          {stage === "failed" && (
            <button type="button" class="small" onClick={() => tryAgain(id)}>
              Try again
            </button>
          )}
        </p>
      ) : (
        <p class="upload-note">
          <progress max={1} value={fraction} aria-label={`Upload of ${file.name}`} />
          <span class="quiet">{stageWords(sending)}</span>
        </p>
      )}
    </li>
  );
}

function stageWords({ stage, fraction, file }: Sending): string {
  if (stage === "waiting") return "Waiting";
  if (stage === "submitting" || fraction >= 1) return "Checking";
  return `${Math.floor(fraction * 100)} % of ${formatBytes(file.size)}`;
}
