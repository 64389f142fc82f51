// Cuts Ogg files, Opus or Vorbis: finds pages by their positions, as far as they are wanted, and gives the browser's
// decoder a small file of their packets.

import { NotSegmentable, type Cuttable } from "./cuttable";
import { codecOf, type OggCodec } from "./ogg_codecs";
import { OggMap } from "./ogg_map";
import { findPages, oggFile, packetsOn, type Packet } from "./ogg_pages";
import type { ReadRange } from "../playback/ranges";

/** What is read at first: holds the headers, unless there is a picture in them. */
const HEAD_BYTES = 1 << 16;

/** Headers longer than this hold pictures that are not worth the bytes. */
const MOST_HEAD_BYTES = 1 << 24;

/** A position before which no page decodes to anything. */
const FAR = 1e7;

interface Stream {
  codec: OggCodec;
  /** The headers of a small file. */
  headers: Uint8Array[];
  serial: number;
  /** Where the pages with sound begin. */
  soundStart: number;
}

export async function openOgg(read: ReadRange, size: number): Promise<Cuttable> {
  const stream = await readHeaders(read, size);
  const { codec, headers, serial, soundStart } = stream;
  const map = await OggMap.open(read, size, serial, soundStart);
  const start = await startOf(stream, map, read);
  const origin = start + codec.preSkip;
  return {
    sampleRate: codec.sampleRate,
    totalSamples: map.last.granule - origin,
    async piece(first, stop) {
      const before = await map.before(origin + first - codec.leadIn);
      const ends = await map.before(origin + stop - 1);
      const { end } = ends ? (map.after(ends) ?? ends) : map.first;
      const bytes = await read(before?.offset ?? soundStart, end);
      const packets = packetsIn(bytes, before?.offset ?? soundStart, serial);
      const wanted = before ? after(packets, codec.overlaps) : packets;
      return { file: oggFile(headers, moved(wanted, -start)), skip: origin + first - (before?.granule ?? start) };
    },
  };
}

function packetsIn(bytes: Uint8Array, base: number, serial: number): Packet[] {
  return packetsOn(findPages(bytes, base).flat().filter((page) => page.serial === serial), bytes, base);
}

/** Moves positions: decoders leave out what comes before 0, and files that were cut out of others begin there. */
function moved(packets: Packet[], by: number): Packet[] {
  return packets.map(({ bytes, granule }) => ({ bytes, granule: granule < 0 ? granule : granule + by }));
}

/** Leaves out what ends on the first page, but for the packet that the next one leans on, if it does. */
function after(packets: Packet[], overlaps: boolean): Packet[] {
  const last = packets.findIndex(({ granule }) => granule >= 0);
  if (overlaps && !packets[last]?.bytes.length) throw new NotSegmentable("A packet is longer than a page.");
  return packets.slice(overlaps ? last : last + 1);
}

async function readHeaders(read: ReadRange, size: number): Promise<Stream> {
  for (let bytes = HEAD_BYTES; ; bytes *= 4) {
    const head = await read(0, Math.min(size, bytes));
    const found = findStream(head);
    if (found) return found;
    if (bytes >= Math.min(size, MOST_HEAD_BYTES)) throw new NotSegmentable("The Ogg file's headers have no end.");
  }
}

/** Returns the first stream of sound, if all its headers are in these bytes: beside it there may be a film. */
function findStream(head: Uint8Array): Stream | null {
  const pages = (findPages(head, 0)[0] ?? []).filter((page) => page.end <= head.length);
  for (const { serial } of pages.filter((page) => page.isFirst)) {
    const own = pages.filter((page) => page.serial === serial);
    const packets = packetsOn(own, head, 0).map(({ bytes }) => bytes);
    const codec = packets[0] && codecOf(packets[0]);
    if (!codec) continue;
    const count = codec.headers;
    const last = own.find((_, place) => packetsOn(own.slice(0, place + 1), head, 0).length >= count);
    const sound = last && own[own.indexOf(last) + 1];
    return sound ? { codec, headers: codec.rewrite(packets.slice(0, count)), serial, soundStart: sound.offset } : null;
  }
  return null;
}

/** Returns the position of the first sample that is decoded. It is 0, but in files that were cut out of longer ones. */
async function startOf({ codec, headers, serial, soundStart }: Stream, map: OggMap, read: ReadRange): Promise<number> {
  const { first, last } = map;
  // The last page's position says where the song ends, not how much it decodes to.
  if (first === last) return 0;
  const packets = packetsIn(await read(soundStart, first.end), soundStart, serial);
  if (codec.samplesOf) return first.granule - packets.reduce((sum, { bytes }) => sum + codec.samplesOf!(bytes), 0);
  const decoder = new OfflineAudioContext(1, 1, codec.sampleRate);
  // A single packet decodes to nothing.
  const decoded = await decoder.decodeAudioData(oggFile(headers, moved(packets, FAR))).catch(() => null);
  return first.granule - (decoded?.length ?? 0);
}
