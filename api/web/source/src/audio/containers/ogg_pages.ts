// Pages of Ogg files (RFC 3533): reads them, takes packets out of them, and writes new ones. Knows no codec.

import { joined, nameAt, viewOf } from "./cuttable";

const HEADER_BYTES = 27;
const CONTINUED = 1;
const FIRST = 2;

export interface Page {
  /** Where it begins and ends in the file. */
  offset: number;
  end: number;
  serial: number;
  /** The position up to which its packets decode; -1 where no packet ends. */
  granule: number;
  isFirst: boolean;
  isContinued: boolean;
  lacing: Uint8Array;
}

export interface Packet {
  bytes: Uint8Array;
  /** Its page's position, for the last packet that ends on a page; else -1. */
  granule: number;
}

/** Returns the pages whose headers lie in these bytes, which begin at `base` in the file, each run without a gap. */
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
  if (at + HEADER_BYTES > bytes.length || nameAt(bytes, at) !== "OggS" || bytes[at + 4] !== 0) return undefined;
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

/** Returns the packets that end on these pages, whose bytes begin at `base` in the file; empty if they begin elsewhere. */
export function packetsOn(pages: readonly Page[], bytes: Uint8Array, base: number): Packet[] {
  const packets: Packet[] = [];
  let begun: Uint8Array[] | null = null;
  for (const page of pages) {
    // What began on a page that is not here is no packet.
    if (!page.isContinued) begun = [];
    let at = page.end - base - page.lacing.reduce((sum, length) => sum + length, 0);
    let last: Packet | null = null;
    for (const length of page.lacing) {
      begun?.push(bytes.subarray(at, at + length));
      at += length;
      if (length === 255) continue;
      packets.push((last = { bytes: joined(begun ?? []), granule: -1 }));
      begun = [];
    }
    if (last) last.granule = page.granule;
  }
  return packets;
}

/** Returns a file of these packets. Each of the headers gets a page to itself; the others' pages end where theirs did. */
export function oggFile(headers: readonly Uint8Array[], packets: readonly Packet[]): ArrayBuffer {
  const pages: Uint8Array[] = headers.map((header, sequence) => writePage([header], 0, sequence));
  let waiting: Uint8Array[] = [];
  for (const [place, { bytes, granule }] of packets.entries()) {
    waiting.push(bytes);
    const next = packets[place + 1];
    const full = next && lacesOf([...waiting, next.bytes]) > 255;
    if (granule < 0 && next && !full) continue;
    pages.push(writePage(waiting, granule, pages.length));
    waiting = [];
  }
  return joined(pages).buffer;
}

function lacesOf(packets: readonly Uint8Array[]): number {
  return packets.reduce((sum, packet) => sum + Math.floor(packet.length / 255) + 1, 0);
}

function writePage(packets: readonly Uint8Array[], granule: number, sequence: number): Uint8Array {
  const lacing = packets.flatMap(({ length }) => [...new Array<number>(Math.floor(length / 255)).fill(255), length % 255]);
  const head = new Uint8Array(HEADER_BYTES);
  new TextEncoder().encodeInto("OggS", head);
  const view = viewOf(head);
  view.setUint8(5, sequence === 0 ? FIRST : 0);
  view.setBigInt64(6, BigInt(granule), true);
  view.setUint32(14, 1, true);
  view.setUint32(18, sequence, true);
  view.setUint8(26, lacing.length);
  const page = joined([head, Uint8Array.from(lacing), ...packets]);
  viewOf(page).setUint32(22, checksum(page), true);
  return page;
}

// CRC-32 with the polynomial 0x04c11db7, high bits first, as Ogg has it.
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
