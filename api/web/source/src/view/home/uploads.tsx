// The uploads in progress, and those that were refused or failed.

import { useEffect } from "preact/hooks";

import { dismiss, leftOut, tryAgain, uploads, type PendingUpload } from "../../state/uploads";
import { cancelUploadLabel, dismissLabel, leftOutWords, UPLOAD_WORDS, uploadLabel, uploadProgress } from "../../words/home";
import { Icon } from "../icons";

export function Uploads() {
  const busy = uploads.value.some((s) => s.stage === "uploading" || s.stage === "waiting");
  useEffect(() => {
    if (!busy) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [busy]);
  if (uploads.value.length === 0 && leftOut.value.length === 0) return null;
  return (
    <section class="uploads" aria-labelledby="uploads-title">
      <h2 id="uploads-title">{busy || uploads.value.some((s) => s.stage === "submitting") ? UPLOAD_WORDS.uploading : UPLOAD_WORDS.failed}</h2>
      {leftOut.value.length > 0 && <p class="upload-note" role="status">{leftOutWords(leftOut.value)}</p>}
      <ul>
        {uploads.value.map((upload) => (
          <UploadRow key={upload.id} upload={upload} />
        ))}
      </ul>
    </section>
  );
}

function UploadRow({ upload }: { upload: PendingUpload }) {
  const { id, file, stage, fraction, message } = upload;
  const bad = stage === "refused" || stage === "failed";
  return (
    <li class={bad ? "upload bad" : "upload"}>
      <span class="file-name" dir="auto">{file.name}</span>
      <button type="button" class="toggle" aria-label={bad ? dismissLabel(file.name) : cancelUploadLabel(file.name)} onClick={() => dismiss(id)}>
        <Icon name="close" />
      </button>
      {bad ? (
        <p class="upload-note" role="alert">
          {message}{" "}
          {stage === "failed" && (
            <button type="button" class="small" onClick={() => tryAgain(id)}>
              {UPLOAD_WORDS.retry}
            </button>
          )}
        </p>
      ) : (
        <p class="upload-note">
          <progress max={1} value={fraction} aria-label={uploadLabel(file.name)} />
          <span class="quiet">{stageWords(upload)}</span>
        </p>
      )}
    </li>
  );
}

function stageWords({ stage, fraction, file }: PendingUpload): string {
  if (stage === "waiting") return UPLOAD_WORDS.waiting;
  if (stage === "submitting" || fraction >= 1) return UPLOAD_WORDS.checking;
  return uploadProgress(fraction, file.size);
}
