// What the page says when a request fails. Where the server sent a sentence, the page shows that one.

export const ERROR_WORDS = {
  unreachable: "The server does not answer. It may be restarting.",
  uploadBroken: "The connection was lost during the upload.",
  fileGone: "This file can no longer be read. It was moved or changed.",
  uploadCanceled: "The upload was canceled.",
  undecodable: "The browser does not decode this format.",
  tooLongToDecode: "The file is too long to be decoded whole, and its format cannot be cut into segments.",
};

export const unexpectedStatus = (status: number) => `The server answered with ${status}.`;

/** Describes what is wrong with a field of a request. */
export function fieldError({ field, message }: { field?: string; message?: string }): string {
  return `${field ?? "A field"}: ${message ?? "is not valid"}.`;
}
