// Boxes of MP4 files (ISO 14496-12): a length, a name, what is in them. Reads and writes them.

import { joined, nameAt, viewOf } from "./cuttable";
import type { ReadRange } from "../playback/ranges";

export interface Box {
  name: string;
  content: Uint8Array;
}

/** Where a box of the file's own is. */
export interface Place {
  name: string;
  start: number;
  contentStart: number;
  end: number;
}

/** A file has a handful of boxes; one that is written as it is recorded has thousands of fragments. */
const MOST_BOXES = 100_000;

/** What is read to learn a box's length: some boxes are so short that the next is in it too. */
const HEAD_BYTES = 4096;

/** Walks the file's own boxes without reading what is in them. */
export async function* walk(read: ReadRange, size: number): AsyncGenerator<Place> {
  let head = new Uint8Array(0);
  let base = 0;
  let at = 0;
  for (let seen = 0; seen < MOST_BOXES && at + 8 <= size; seen++) {
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

/** Returns the content of the first box on a way through boxes in boxes. */
export function findBox(content: Uint8Array, ...way: string[]): Uint8Array | undefined {
  return way.reduce<Uint8Array | undefined>(
    (inside, name) => inside && boxesIn(inside).find((box) => box.name === name)?.content,
    content,
  );
}

function placeOf(bytes: Uint8Array, start: number, size: number): Place | null {
  if (start + 8 > bytes.length) return null;
  const view = viewOf(bytes);
  let length = view.getUint32(start);
  let contentStart = start + 8;
  if (length === 1 && start + 16 <= bytes.length) {
    length = Number(view.getBigUint64(start + 8));
    contentStart += 8;
  }
  // The last box may leave its length open.
  const end = length === 0 ? size : start + length;
  if (end < contentStart || end > size) return null;
  return { name: nameAt(bytes, start + 4), start, contentStart, end };
}

export function box(name: string, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = joined([new Uint8Array(8), ...content]);
  viewOf(whole).setUint32(0, whole.length);
  new TextEncoder().encodeInto(name, whole.subarray(4));
  return whole;
}

/** Numbers of 32 bits, as most of a box's content is. */
export function words(...numbers: number[]): Uint8Array {
  const bytes = new Uint8Array(numbers.length * 4);
  const view = viewOf(bytes);
  numbers.forEach((number, place) => view.setUint32(place * 4, number));
  return bytes;
}
