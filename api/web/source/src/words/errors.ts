// What the page says when a request fails. Where the server sent a sentence, the page shows that one.

export const ERROR_WORDS = {
  unreachable: "The server does not answer. It may be restarting.",
  uploadBroken:
    "The connection was lost during the upload. If this happens each time, a proxy in front of the server may not allow files of this size.",
  fileGone: "This file can no longer be read. It was moved or changed.",
  uploadCanceled: "The upload was canceled.",
  undecodable: "The browser does not decode this format.",
  tooLongToDecode: "The file is too long to be decoded whole, and its format cannot be cut into segments.",
};

/** Describes an answer that is not stemqueue's own: it comes from a proxy in front of it, or from another server. */
export function foreignAnswer(status: number): string {
  const words = FOREIGN_WORDS[status] ?? "The answer does not come from stemqueue but from a proxy in front of it, or from another server.";
  return `${words} (HTTP ${status})`;
}

const NO_ANSWER_THROUGH_PROXY = "A proxy in front of the server cannot reach it. It may be restarting; try again in a moment.";

const FOREIGN_WORDS: Record<number, string> = {
  401: "A proxy in front of the server asks for a password. Reload the page to enter it.",
  403: "A proxy in front of the server refuses access.",
  404: "A proxy in front of the server does not know this address.",
  408: "The request took longer than a proxy in front of the server allows.",
  413: "The file is larger than a proxy in front of the server allows. Its operator can raise the limit.",
  429: "A proxy in front of the server limits the number of requests. Try again in a moment.",
  502: NO_ANSWER_THROUGH_PROXY,
  503: NO_ANSWER_THROUGH_PROXY,
  504: "The server did not answer a proxy in front of it in time. Try again in a moment.",
};

/** Describes what is wrong with a field of a request. */
export function fieldError({ field, message }: { field?: string; message?: string }): string {
  return `${field ?? "A field"}: ${message ?? "is not valid"}.`;
}
