// Cuts WebM and Matroska files with Opus: reads the whole file once, keeps its audio frames, and writes small Ogg files
// of those that a cut needs.

import { UnsupportedFile, type OpenAudioFile } from "./audio_file";
import { textAt, viewOf } from "./bytes";
import { codecOf } from "./ogg/codecs";
import { writeOgg, type Packet } from "./ogg/pages";

/** A larger file is a film, which is not worth reading whole for its sound. */
const MAX_FILE_BYTES = 1 << 26;

/** How many frames go into a page of the small files. */
const FRAMES_PER_PAGE = 50;

// Element ids (RFC 9559).
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

/** Elements whose children are read. */
const PARENTS = new Set([SEGMENT, TRACKS, TRACK, CLUSTER, BLOCK_GROUP]);

/** Elements that a live recording writes before it knows their length. They end where the next of their kind begins. */
const UNKNOWN_LENGTH_ALLOWED = new Set([SEGMENT, CLUSTER]);

/** The bits of a block's flags that say that it holds several frames. */
const LACING = 6;

/** What comes before the frame in a block: track number, time and flags. */
const BLOCK_HEADER_BYTES = 4;

interface Element {
  id: number;
  content: Uint8Array;
}

export const openWebm: OpenAudioFile = async (read, size) => {
  if (size > MAX_FILE_BYTES) throw new UnsupportedFile("The WebM file is too long to be read whole.");
  const { head, frames } = readOpus(await read(0, size));
  const codec = codecOf(head);
  if (!codec?.samplesOf) throw new UnsupportedFile("The WebM file's sound is not Opus.");
  const { preSkip, leadIn, sampleRate, samplesOf } = codec;
  const headers = codec.rewriteHeaders([head]);
  const starts = new Float64Array(frames.length + 1);
  frames.forEach((frame, place) => (starts[place + 1] = starts[place]! + samplesOf(frame)));
  return {
    sampleRate,
    totalSamples: starts[frames.length]! - preSkip,
    async cut(first, stop) {
      const from = Math.max(0, starts.findLastIndex((start) => start <= first + preSkip - leadIn));
      const end = starts.findIndex((start) => start >= stop + preSkip);
      const to = end < 0 ? frames.length : end;
      const packets = frames.slice(from, to).map((bytes, place): Packet => {
        const endsPage = place % FRAMES_PER_PAGE === FRAMES_PER_PAGE - 1 || from + place + 1 === to;
        return { bytes, granule: endsPage ? starts[from + place + 1]! : -1 };
      });
      return { file: writeOgg(headers, packets), skip: first + preSkip - starts[from]! };
    },
  };
};

/** Returns the header and the frames of the first Opus track. */
function readOpus(file: Uint8Array): { head: Uint8Array; frames: Uint8Array[] } {
  let number: number | undefined;
  let track: { number?: number; codec?: string; head?: Uint8Array } = {};
  let head: Uint8Array | undefined;
  const frames: Uint8Array[] = [];
  for (const { id, content } of elementsIn(file)) {
    if (id === TRACK) track = {};
    if (id === TRACK_NUMBER) track.number = content.at(-1) ?? 0;
    if (id === CODEC) track.codec = textAt(content, 0, content.length);
    if (id === CODEC_PRIVATE) track.head = content.slice();
    if (!head && track.codec === "A_OPUS" && track.head && track.number) [number, head] = [track.number, track.head];
    if ((id !== SIMPLE_BLOCK && id !== BLOCK) || content[0] !== (number ?? 0) + 0x80) continue;
    if (content.length <= BLOCK_HEADER_BYTES) throw new UnsupportedFile("The WebM file has empty blocks.");
    if (content[3]! & LACING) throw new UnsupportedFile("The WebM file's blocks hold several frames each.");
    // A copy, so that the whole file, perhaps with a film's pictures, can be garbage collected.
    frames.push(content.slice(BLOCK_HEADER_BYTES));
  }
  if (!head || !frames.length) throw new UnsupportedFile("The WebM file has no Opus track.");
  return { head, frames };
}

/** Yields all elements in file order, each parent before its children. */
function* elementsIn(bytes: Uint8Array): Generator<Element> {
  for (let at = 0; at < bytes.length; ) {
    const id = readNumber(bytes, at, true);
    const length = id && readNumber(bytes, at + id.bytes, false);
    if (!id || !length) return;
    const start = at + id.bytes + length.bytes;
    const isUnknownLength = length.isUnknown && UNKNOWN_LENGTH_ALLOWED.has(id.value);
    const end = isUnknownLength ? bytes.length : start + length.value;
    if (end > bytes.length && !PARENTS.has(id.value)) return;
    yield { id: id.value, content: bytes.subarray(start, end) };
    at = PARENTS.has(id.value) ? start : end;
  }
}

/** Reads a number whose first byte says how many bytes it has. An id keeps the bit that says so. */
function readNumber(bytes: Uint8Array, at: number, isId: boolean): { value: number; bytes: number; isUnknown: boolean } | null {
  const first = bytes[at] ?? 0;
  const count = Math.clz32(first) - 23;
  if (first === 0 || count > (isId ? 4 : 8) || at + count > bytes.length) return null;
  let value = isId ? first : first & (0xff >> count);
  let isUnknown = value === 0xff >> count;
  const view = viewOf(bytes);
  for (let i = 1; i < count; i++) {
    const byte = view.getUint8(at + i);
    isUnknown &&= byte === 0xff;
    value = value * 256 + byte;
  }
  return { value, bytes: count, isUnknown };
}
