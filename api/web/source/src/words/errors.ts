// What the page says when a request fails. If the server sent a message, the page shows that message instead.

export const ERROR_WORDS = {
  unreachable: "The server does not answer. It may be restarting.",
  uploadBroken:
    "The connection was lost during the upload. A proxy in front of the server may limit its size.",
  fileGone: "This file can no longer be read. It may have been moved or changed.",
  uploadCanceled: "The upload was canceled.",
  undecodable: "This browser cannot decode this format.",
  tooLongToDecode: "The file is too long to decode in one piece, and this format cannot be decoded in parts.",
};

/** Describes a response that did not come from stemqueue, but from a proxy in front of it or from another server. */
export function foreignAnswer(status: number): string {
  const words = FOREIGN_WORDS[status] ?? "A proxy in front of the server answered.";
  return `${words} (HTTP ${status})`;
}

const UNREACHED = "A proxy in front of the server cannot reach it. Try again.";

const FOREIGN_WORDS: Record<number, string> = {
  413: "The file is larger than a proxy in front of the server allows.",
  502: UNREACHED,
  503: UNREACHED,
  504: "The server did not answer a proxy in front of it in time. Try again.",
};

/** Describes what is wrong with a field of a request. */
export function fieldError({ field, message }: { field?: string; message?: string }): string {
  return `${field ?? "A field"}: ${message ?? "is not valid"}.`;
}
