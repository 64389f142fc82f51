// What can be cut: a file of which any stretch can be had as a small file by itself. One module for each container
// knows how; `cut.ts` decodes the pieces. All of them only read frames: the browser decodes.

/** Something to cut turned out to be of another make than expected. */
export class NotSegmentable extends Error {}

/** A small file, and where among the samples that it decodes to the wanted ones begin. */
export interface Piece {
  file: ArrayBuffer;
  skip: number;
}

export interface Cuttable {
  readonly sampleRate: number;
  readonly totalSamples: number;
  piece(first: number, stop: number): Promise<Piece>;
}

/** Puts bytes together. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Four letters, as containers name their parts. */
export function nameAt(bytes: Uint8Array, at: number, length = 4): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
