// Damages files in ways that hurt readers most: single bits, lengths, missing and repeated parts.

const EXTREMES = [0, 1, 0x7f, 0xff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** Names near which lengths and counts stand. */
const NAMES = ["moov", "trak", "stsz", "stsc", "stts", "stco", "elst", "mdhd", "mvex", "fLaC", "fmt ", "data", "OggS", "OpusHead", "vorbis", "ID3", "Xing", "Info", "LAME", "Lavc"];

/** How far around a name to hit. */
const REACH_BEFORE = 8;
const REACH_BEHIND = 48;

/** Headers are at the beginning; every second bit that is flipped is there. */
const HEAD_BYTES = 600;

const MAX_CHUNK_BYTES = 512;

type Random = () => number;

/** Returns a damaged copy; the same for the same random numbers. */
export function mutate(file: Uint8Array, random: Random): Uint8Array {
  const kinds = [flipBits, flipBits, truncate, setField, setFieldNearName, setFieldNearName, repeatChunk, removeChunk];
  let damaged: Uint8Array = file.slice();
  for (let count = 1 + Math.floor(random() * 3); count > 0; count--) damaged = pick(kinds, random)(damaged, random);
  return damaged;
}

function flipBits(file: Uint8Array, random: Random): Uint8Array {
  for (let count = 1 + Math.floor(random() * 8); count > 0 && file.length; count--) {
    const place = index(random() < 0.5 ? file.length : Math.min(HEAD_BYTES, file.length), random);
    file[place]! ^= 1 << index(8, random);
  }
  return file;
}

function truncate(file: Uint8Array, random: Random): Uint8Array {
  return file.slice(0, index(file.length, random));
}

function setField(file: Uint8Array, random: Random): Uint8Array {
  return setNumber(file, index(file.length, random), random);
}

function setFieldNearName(file: Uint8Array, random: Random): Uint8Array {
  const name = new TextEncoder().encode(pick(NAMES, random));
  const places = placesOf(file, name);
  if (!places.length) return setField(file, random);
  return setNumber(file, pick(places, random) - REACH_BEFORE + index(REACH_BEFORE + REACH_BEHIND, random), random);
}

function repeatChunk(file: Uint8Array, random: Random): Uint8Array {
  const start = index(file.length, random);
  const stop = Math.min(file.length, start + 1 + index(MAX_CHUNK_BYTES, random));
  const repeated = new Uint8Array(file.length + stop - start);
  repeated.set(file.subarray(0, stop));
  repeated.set(file.subarray(start), stop);
  return repeated;
}

function removeChunk(file: Uint8Array, random: Random): Uint8Array {
  const start = index(file.length, random);
  const stop = Math.min(file.length, start + 1 + index(MAX_CHUNK_BYTES, random));
  const shorter = new Uint8Array(file.length - (stop - start));
  shorter.set(file.subarray(0, start));
  shorter.set(file.subarray(stop), start);
  return shorter;
}

/** Sets one, two or four bytes to an extreme value, in either byte order. */
function setNumber(file: Uint8Array, at: number, random: Random): Uint8Array {
  const bytes = pick([1, 2, 4], random);
  const value = pick(EXTREMES, random);
  const isLittleEndian = random() < 0.5;
  for (let i = 0; i < bytes; i++) {
    const place = at + i;
    const shift = 8 * (isLittleEndian ? i : bytes - 1 - i);
    if (place >= 0 && place < file.length) file[place] = value >>> shift;
  }
  return file;
}

function placesOf(file: Uint8Array, name: Uint8Array): number[] {
  const places: number[] = [];
  for (let at = file.indexOf(name[0]!); at >= 0; at = file.indexOf(name[0]!, at + 1)) {
    if (name.every((byte, i) => file[at + i] === byte)) places.push(at);
  }
  return places;
}

function index(length: number, random: Random): number {
  return Math.floor(random() * length);
}

function pick<T>(choices: readonly T[], random: Random): T {
  return choices[index(choices.length, random)]!;
}
