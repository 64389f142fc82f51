// Cuts WebM and Matroska files with Opus: reads the whole file once, keeps the frames of its sound, and gives the
// browser's decoder small Ogg files of them.

import { nameAt, NotSegmentable, viewOf, type Cuttable } from "./cuttable";
import { codecOf } from "./ogg_codecs";
import { oggFile, type Packet } from "./ogg_pages";
import type { ReadRange } from "../playback/ranges";

/** More is a film, which is not worth the bytes. */
const MOST_BYTES = 1 << 26;

/** How many frames a page of the small files holds. */
const PAGE_FRAMES = 50;

// Elements by their numbers (RFC 9559).
const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK = 0xae;
const TRACK_NUMBER = 0xd7;
const CODEC = 0x86;
const CODEC_PRIVATE = 0x63a2;
const CLUSTER = 0x1f43b675;
const SIMPLE_BLOCK = 0xa3;
const BLOCK_GROUP = 0xa0;
const BLOCK = 0xa1;

/** What holds what is looked for. */
const OPENED = new Set([SEGMENT, TRACKS, TRACK, CLUSTER, BLOCK_GROUP]);

/** What may be written before its length is known; then it lasts until one of its own kind follows. */
const LENGTH_OPEN = new Set([SEGMENT, CLUSTER]);

const LACED = 6;

interface Element {
  id: number;
  content: Uint8Array;
}

export async function openWebm(read: ReadRange, size: number): Promise<Cuttable> {
  if (size > MOST_BYTES) throw new NotSegmentable("The file is long, and of a make that is read whole.");
  const { head, frames } = readOpus(await read(0, size));
  const codec = codecOf(head);
  if (!codec?.samplesOf) throw new NotSegmentable("The file's sound is not Opus.");
  const headers = codec.rewrite([head]);
  const starts = new Float64Array(frames.length + 1);
  frames.forEach((frame, place) => (starts[place + 1] = starts[place]! + codec.samplesOf!(frame)));
  return {
    sampleRate: codec.sampleRate,
    totalSamples: starts[frames.length]! - codec.preSkip,
    piece(first, stop) {
      const from = Math.max(0, starts.findLastIndex((start) => start <= first + codec.preSkip - codec.leadIn));
      const end = starts.findIndex((start) => start >= stop + codec.preSkip);
      const to = end < 0 ? frames.length : end;
      const packets = frames.slice(from, to).map((bytes, place): Packet => {
        const ends = place % PAGE_FRAMES === PAGE_FRAMES - 1 || from + place + 1 === to;
        return { bytes, granule: ends ? starts[from + place + 1]! : -1 };
      });
      return Promise.resolve({ file: oggFile(headers, packets), skip: first + codec.preSkip - starts[from]! });
    },
  };
}

/** Returns the header and the frames of the first track with Opus. */
function readOpus(file: Uint8Array): { head: Uint8Array; frames: Uint8Array[] } {
  let number: number | undefined;
  let track: { number?: number; codec?: string; head?: Uint8Array } = {};
  let head: Uint8Array | undefined;
  const frames: Uint8Array[] = [];
  for (const { id, content } of elementsIn(file)) {
    if (id === TRACK) track = {};
    if (id === TRACK_NUMBER) track.number = content.at(-1)!;
    if (id === CODEC) track.codec = nameAt(content, 0, content.length);
    if (id === CODEC_PRIVATE) track.head = content.slice();
    if (!head && track.codec === "A_OPUS" && track.head && track.number) [number, head] = [track.number, track.head];
    if ((id !== SIMPLE_BLOCK && id !== BLOCK) || content[0] !== (number ?? 0) + 0x80) continue;
    if (content[3]! & LACED) throw new NotSegmentable("The file's frames are laced.");
    // A copy, so that the file, with a film's pictures perhaps, need not be kept.
    frames.push(content.slice(4));
  }
  if (!head || !frames.length) throw new NotSegmentable("The file has no Opus.");
  return { head, frames };
}

/** Returns all elements in their order, what holds others before those. */
function* elementsIn(bytes: Uint8Array): Generator<Element> {
  for (let at = 0; at < bytes.length; ) {
    const id = readNumber(bytes, at, true);
    const length = id && readNumber(bytes, at + id.bytes, false);
    if (!id || !length) return;
    const start = at + id.bytes + length.bytes;
    const open = length.isOpen && LENGTH_OPEN.has(id.value);
    const end = open ? bytes.length : start + length.value;
    if (end > bytes.length && !OPENED.has(id.value)) return;
    yield { id: id.value, content: bytes.subarray(start, end) };
    at = OPENED.has(id.value) ? start : end;
  }
}

/** Reads a number that says by its first bit how many bytes it has; in an identifier this bit stays. */
function readNumber(bytes: Uint8Array, at: number, isId: boolean): { value: number; bytes: number; isOpen: boolean } | null {
  const first = bytes[at] ?? 0;
  const count = Math.clz32(first) - 23;
  if (first === 0 || count > (isId ? 4 : 8) || at + count > bytes.length) return null;
  let value = isId ? first : first & (0xff >> count);
  let isOpen = value === 0xff >> count;
  const view = viewOf(bytes);
  for (let i = 1; i < count; i++) {
    const byte = view.getUint8(at + i);
    isOpen &&= byte === 0xff;
    value = value * 256 + byte;
  }
  return { value, bytes: count, isOpen };
}
