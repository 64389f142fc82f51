// Reads and writes the boxes that MP4 files consist of (ISO 14496-12): a length, a name, and content.

import { concat, textAt, viewOf } from "../bytes";
import type { ReadRange } from "../audio_file";

export interface Box {
  name: string;
  content: Uint8Array;
}

/** Where a box is. */
export interface BoxPlace {
  name: string;
  start: number;
  contentStart: number;
  end: number;
}

/** A file has a handful of top-level boxes. */
const MAX_BOXES = 1000;

/** How much to read for a box's header: a small box's successor is then read with it. */
const HEAD_BYTES = 4096;

/** Yields the places of the file's top-level boxes without reading their content. */
export async function* walkBoxes(read: ReadRange, size: number): AsyncGenerator<BoxPlace> {
  let head = new Uint8Array(0);
  let base = 0;
  let at = 0;
  for (let seen = 0; seen < MAX_BOXES && at + 8 <= size; seen++) {
    if (at + 16 > base + head.length || at < base) {
      base = at;
      head = await read(base, Math.min(size, base + HEAD_BYTES));
    }
    const place = placeOf(head, at - base, size - base);
    if (!place) return;
    yield { name: place.name, start: at, contentStart: base + place.contentStart, end: base + place.end };
    at = base + place.end;
  }
}

/** Returns the boxes in a box's content. */
export function boxesIn(content: Uint8Array): Box[] {
  const boxes: Box[] = [];
  for (let at = 0; ; ) {
    const place = placeOf(content, at, content.length);
    if (!place) return boxes;
    boxes.push({ name: place.name, content: content.subarray(place.contentStart, place.end) });
    at = place.end;
  }
}

/** Returns the content of the box at a path of names, at each step of the first box with that name. */
export function findBox(content: Uint8Array, ...path: string[]): Uint8Array | undefined {
  return path.reduce<Uint8Array | undefined>(
    (inside, name) => inside && boxesIn(inside).find((box) => box.name === name)?.content,
    content,
  );
}

function placeOf(bytes: Uint8Array, start: number, size: number): BoxPlace | null {
  if (start + 8 > bytes.length) return null;
  const view = viewOf(bytes);
  let length = view.getUint32(start);
  let contentStart = start + 8;
  if (length === 1 && start + 16 <= bytes.length) {
    length = Number(view.getBigUint64(start + 8));
    contentStart += 8;
  }
  // A length of 0 means that the box reaches to the end.
  const end = length === 0 ? size : start + length;
  if (end < contentStart || end > size) return null;
  return { name: textAt(bytes, start + 4), start, contentStart, end };
}

/** Writes a box. */
export function box(name: string, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = concat([new Uint8Array(8), ...content]);
  viewOf(whole).setUint32(0, whole.length);
  new TextEncoder().encodeInto(name, whole.subarray(4));
  return whole;
}

/** Writes 32-bit numbers, which most of a box's content is. */
export function words(...numbers: number[]): Uint8Array {
  return wordsOf(numbers);
}

/** As `words`, for rows that may be too long to be arguments. */
export function wordsOf(numbers: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(numbers.length * 4);
  const view = viewOf(bytes);
  for (let place = 0; place < numbers.length; place++) view.setUint32(place * 4, numbers[place]!);
  return bytes;
}
