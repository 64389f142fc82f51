// Reads and writes pages of Ogg files (RFC 3533), and takes packets out of them. Works for every codec.

import { concat, textAt, viewOf } from "../bytes";

const HEADER_BYTES = 27;
const CONTINUED = 1;
const FIRST = 2;

/** A packet is stored in pieces of 255 bytes; a shorter piece ends it. */
const FULL_PIECE = 255;
const MAX_PIECES_PER_PAGE = 255;

export interface Page {
  /** Where the page begins and ends in the file. */
  offset: number;
  end: number;
  serial: number;
  /** The position in samples up to which the page's packets decode; -1 if no packet ends on it. */
  granule: number;
  isFirst: boolean;
  isContinued: boolean;
  /** The lengths of its packets' pieces. */
  lacing: Uint8Array;
}

export interface Packet {
  bytes: Uint8Array;
  /** The page's position, for the last packet that ends on a page; -1 for the others. */
  granule: number;
}

/** Finds pages in bytes that begin at `base` in the file; returns one list for each stretch without gaps. */
export function findPages(bytes: Uint8Array, base: number): Page[][] {
  const runs: Page[][] = [];
  let run: Page[] = [];
  for (let at = 0; (at = bytes.indexOf(0x4f, at)) >= 0; ) {
    const page = readPage(bytes, at, base);
    if (!page) {
      at++;
      continue;
    }
    if (run.at(-1)?.end !== page.offset) runs.push((run = []));
    run.push(page);
    at = page.end - base;
  }
  return runs;
}

function readPage(bytes: Uint8Array, at: number, base: number): Page | undefined {
  if (at + HEADER_BYTES > bytes.length || textAt(bytes, at) !== "OggS" || bytes[at + 4] !== 0) return undefined;
  const flags = bytes[at + 5]!;
  const count = bytes[at + 26]!;
  const body = at + HEADER_BYTES + count;
  if (flags > 7 || body > bytes.length) return undefined;
  const lacing = bytes.slice(at + HEADER_BYTES, body);
  const view = viewOf(bytes);
  return {
    offset: base + at,
    end: base + body + lacing.reduce((sum, length) => sum + length, 0),
    serial: view.getUint32(at + 14, true),
    granule: Number(view.getBigInt64(at + 6, true)),
    isFirst: (flags & FIRST) !== 0,
    isContinued: (flags & CONTINUED) !== 0,
    lacing,
  };
}

/** Returns how many packets end on a page. */
export function countPacketEnds(page: Page): number {
  return page.lacing.filter((length) => length < FULL_PIECE).length;
}

/** Returns the packets that end on these pages, whose bytes begin at `base`; empty for one that begins on an earlier page. */
export function readPackets(pages: readonly Page[], bytes: Uint8Array, base: number): Packet[] {
  const packets: Packet[] = [];
  let pieces: Uint8Array[] | null = null;
  for (const page of pages) {
    // The beginning of a packet from a page that is not here is missing.
    if (!page.isContinued) pieces = [];
    let at = page.end - base - page.lacing.reduce((sum, length) => sum + length, 0);
    let last: Packet | null = null;
    for (const length of page.lacing) {
      pieces?.push(bytes.subarray(at, at + length));
      at += length;
      if (length === FULL_PIECE) continue;
      packets.push((last = { bytes: concat(pieces ?? []), granule: -1 }));
      pieces = [];
    }
    if (last) last.granule = page.granule;
  }
  return packets;
}

/** Writes an Ogg file. Each header gets a page of its own; other pages end after packets with a position. */
export function writeOgg(headers: readonly Uint8Array[], packets: readonly Packet[]): ArrayBuffer {
  const pages: Uint8Array[] = headers.map((header, sequence) => writePage([header], 0, sequence));
  let pending: Uint8Array[] = [];
  let pieces = 0;
  for (const [place, { bytes, granule }] of packets.entries()) {
    pending.push(bytes);
    pieces += countPieces(bytes);
    const next = packets[place + 1];
    const isFull = next && pieces + countPieces(next.bytes) > MAX_PIECES_PER_PAGE;
    if (granule < 0 && next && !isFull) continue;
    pages.push(writePage(pending, granule, pages.length));
    pending = [];
    pieces = 0;
  }
  return concat(pages).buffer;
}

function countPieces({ length }: Uint8Array): number {
  return Math.floor(length / FULL_PIECE) + 1;
}

function writePage(packets: readonly Uint8Array[], granule: number, sequence: number): Uint8Array {
  const lacing = packets.flatMap((packet) => [...new Array<number>(countPieces(packet) - 1).fill(FULL_PIECE), packet.length % FULL_PIECE]);
  const head = new Uint8Array(HEADER_BYTES);
  new TextEncoder().encodeInto("OggS", head);
  const view = viewOf(head);
  view.setUint8(5, sequence === 0 ? FIRST : 0);
  view.setBigInt64(6, BigInt(granule), true);
  view.setUint32(14, 1, true);
  view.setUint32(18, sequence, true);
  view.setUint8(26, lacing.length);
  const page = concat([head, Uint8Array.from(lacing), ...packets]);
  viewOf(page).setUint32(22, checksum(page), true);
  return page;
}

// CRC-32 with the polynomial 0x04c11db7, most significant bit first (RFC 3533).
const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  let crc = value << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

function checksum(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) crc = ((crc << 8) ^ CRC[(crc >>> 24) ^ byte]!) >>> 0;
  return crc;
}
