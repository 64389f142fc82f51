// Finds frames in a part of a FLAC file (RFC 9639) by their headers.

export interface FlacFrame {
  /** Its number in the stream. */
  number: number;
  /** Where its header begins in the bytes that were searched. */
  offset: number;
}

// CRC-8 with the polynomial x^8 + x^2 + x + 1 (RFC 9639, section 9.1.8).
const CRC8 = Uint8Array.from({ length: 256 }, (_, value) => {
  let crc = value;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80 ? (crc << 1) ^ 0x07 : crc << 1;
  return crc & 0xff;
});

/**
 * Returns the frames whose headers lie in these bytes, in order.
 *
 * Audio data can look like a header: about one false header in 2^24 bytes passes the checksum. So a frame counts only if
 * its number follows the frame before it or, for the first one, if the next frame's number follows it.
 */
export function findFlacFrames(bytes: Uint8Array): FlacFrame[] {
  const candidates: FlacFrame[] = [];
  for (let offset = bytes.indexOf(0xff); offset >= 0; offset = bytes.indexOf(0xff, offset + 1)) {
    const number = readFrameNumber(bytes, offset);
    if (number !== undefined) candidates.push({ number, offset });
  }
  const found: FlacFrame[] = [];
  for (const [place, frame] of candidates.entries()) {
    const before = found.at(-1);
    const follows = before ? frame.number === before.number + 1 : candidates[place + 1]?.number === frame.number + 1;
    if (follows) found.push(frame);
  }
  return found;
}

/** Returns the number of the frame whose header begins here, or undefined if none does. */
function readFrameNumber(bytes: Uint8Array, offset: number): number | undefined {
  // 14 sync bits, a zero, and a zero for a fixed block size; streams with variable block sizes are not cut.
  if (bytes[offset] !== 0xff || bytes[offset + 1] !== 0xf8) return undefined;
  const sizes = bytes[offset + 2] ?? 0;
  const blockCode = sizes >> 4;
  const rateCode = sizes & 15;
  if (blockCode === 0 || rateCode === 15 || (bytes[offset + 3] ?? 1) & 1) return undefined;
  const coded = readCodedNumber(bytes, offset + 4);
  if (!coded) return undefined;
  const blockBytes = blockCode === 6 ? 1 : blockCode === 7 ? 2 : 0;
  const rateBytes = rateCode === 12 ? 1 : rateCode === 13 || rateCode === 14 ? 2 : 0;
  const end = coded.end + blockBytes + rateBytes;
  if (end >= bytes.length) return undefined;
  let crc = 0;
  for (let at = offset; at < end; at++) crc = CRC8[crc ^ bytes[at]!]!;
  return crc === bytes[end] ? coded.value : undefined;
}

/** Reads a number in FLAC's variable-length coding, which resembles UTF-8. */
function readCodedNumber(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  if (first < 0x80) return { value: first, end: at + 1 };
  const length = Math.clz32(~(first << 24));
  if (length < 2 || length > 6) return undefined;
  let value = first & (0x7f >> length);
  for (let i = 1; i < length; i++) {
    const next = bytes[at + i];
    if (next === undefined || next >> 6 !== 2) return undefined;
    value = value * 64 + (next & 63);
  }
  return { value, end: at + length };
}
