// Cuts Ogg files with Opus or Vorbis: finds pages by their positions, and writes a small Ogg file of the packets that a cut
// needs.

import { UnsupportedFile, type OpenAudioFile, type ReadRange } from "../audio_file";
import { codecOf, type OggCodec } from "./codecs";
import { PageIndex } from "./page_index";
import { countPacketEnds, findPages, readPackets, writeOgg, type Packet } from "./pages";

/** The first read. It holds all headers unless there is a picture in them. */
const HEAD_BYTES = 1 << 16;

/** Headers longer than this hold pictures that are not worth the bytes. */
const MAX_HEAD_BYTES = 1 << 24;

/** Added to positions so that the decoder keeps everything: it drops what comes before 0. */
const FAR = 1e7;

interface Stream {
  codec: OggCodec;
  /** The headers for small files. */
  headers: Uint8Array[];
  serial: number;
  /** Where the pages with sound begin. */
  soundStart: number;
}

export const openOgg: OpenAudioFile = async (read, size) => {
  const stream = await readHeaders(read, size);
  const { codec, headers, serial, soundStart } = stream;
  const index = await PageIndex.open(read, size, serial, soundStart);
  const start = await readStartPosition(stream, index, read);
  const origin = start + codec.preSkip;
  return {
    sampleRate: codec.sampleRate,
    totalSamples: index.last.granule - origin,
    async cut(first, stop) {
      const before = await index.findPageBefore(origin + first - codec.leadIn);
      const endsBefore = await index.findPageBefore(origin + stop - 1);
      const { end } = endsBefore ? (index.pageAfter(endsBefore) ?? endsBefore) : index.first;
      const from = before?.offset ?? soundStart;
      const packets = streamPackets(await read(from, end), from, serial);
      const wanted = before ? dropFirstPage(packets, codec.overlaps) : packets;
      return { file: writeOgg(headers, shifted(wanted, -start)), skip: origin + first - (before?.granule ?? start) };
    },
  };
};

function streamPackets(bytes: Uint8Array, base: number, serial: number): Packet[] {
  return readPackets(findPages(bytes, base).flat().filter((page) => page.serial === serial), bytes, base);
}

/** Shifts positions so that the song begins at 0; files that were cut out of others begin elsewhere. */
function shifted(packets: Packet[], by: number): Packet[] {
  return packets.map(({ bytes, granule }) => ({ bytes, granule: granule < 0 ? granule : granule + by }));
}

/** Drops the packets that end on the first page, except for the last one if the next packet needs it. */
function dropFirstPage(packets: Packet[], overlaps: boolean): Packet[] {
  const last = packets.findIndex(({ granule }) => granule >= 0);
  if (overlaps && !packets[last]?.bytes.length) throw new UnsupportedFile("A packet of the Ogg file is longer than a page.");
  return packets.slice(overlaps ? last : last + 1);
}

async function readHeaders(read: ReadRange, size: number): Promise<Stream> {
  for (let bytes = HEAD_BYTES; ; bytes *= 4) {
    const head = await read(0, Math.min(size, bytes));
    const found = findStream(head);
    if (found) return found;
    if (bytes >= Math.min(size, MAX_HEAD_BYTES)) throw new UnsupportedFile("The Ogg file's headers do not end.");
  }
}

/** Returns the first audio stream if all its headers are in these bytes. A film has other streams beside it. */
function findStream(head: Uint8Array): Stream | null {
  const pages = (findPages(head, 0)[0] ?? []).filter((page) => page.end <= head.length);
  const firstPages = new Map(pages.filter((page) => page.isFirst).map((page) => [page.serial, page]));
  for (const [serial, firstPage] of firstPages) {
    const [firstPacket] = readPackets([firstPage], head, 0);
    const codec = firstPacket && codecOf(firstPacket.bytes);
    if (!codec) continue;
    const own = pages.filter((page) => page.serial === serial);
    const packets = readPackets(own, head, 0).map(({ bytes }) => bytes);
    let headersLeft = codec.headerCount;
    const lastHeaderPage = own.findIndex((page) => (headersLeft -= countPacketEnds(page)) <= 0);
    const sound = lastHeaderPage < 0 ? undefined : own[lastHeaderPage + 1];
    return sound ? { codec, headers: codec.rewriteHeaders(packets.slice(0, codec.headerCount)), serial, soundStart: sound.offset } : null;
  }
  return null;
}

/** Returns the position of the first decoded sample. It is 0 except in files that were cut out of longer ones. */
async function readStartPosition({ codec, headers, serial, soundStart }: Stream, index: PageIndex, read: ReadRange): Promise<number> {
  const { first, last } = index;
  // The last page's position says where the song ends, not how much the page decodes to.
  if (first === last) return 0;
  const packets = streamPackets(await read(soundStart, first.end), soundStart, serial);
  if (codec.samplesOf) return first.granule - packets.reduce((sum, { bytes }) => sum + codec.samplesOf!(bytes), 0);
  return first.granule - (await countDecodedSamples(writeOgg(headers, shifted(packets, FAR)), codec.sampleRate));
}

async function countDecodedSamples(file: ArrayBuffer, sampleRate: number): Promise<number> {
  try {
    return (await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(file)).length;
  } catch {
    // A single Vorbis packet decodes to nothing, which browsers report as an error.
    return 0;
  }
}
