// Describes what Ogg files of each codec need to be cut: their headers, and how far before a cut decoding must begin.

import { UnsupportedFile } from "../audio_file";
import { concat, textAt, viewOf } from "../bytes";

export interface OggCodec {
  /** The number of header packets before the first packet with sound. */
  headerCount: number;
  sampleRate: number;
  /** How many samples the encoder added before the song. */
  preSkip: number;
  /** How many samples before a cut decoding begins. */
  leadIn: number;
  /** Whether a packet decodes to sound only together with the packet before it. */
  overlaps: boolean;
  /** Returns the headers for a small file: nothing to skip, no tags, no pictures. */
  rewriteHeaders(headers: readonly Uint8Array[]): Uint8Array[];
  /** Returns how many samples a packet decodes to, if its first bytes say so; null if only decoding can tell. */
  samplesOf: ((packet: Uint8Array) => number) | null;
}

/** Opus asks for 80 ms of lead-in. This is half a second: the longer it is, the closer the result. */
const OPUS_LEAD_IN = 24_000;
const OPUS_RATE = 48_000;
const OPUS_HEADER_BYTES = 19;
const VORBIS_HEADER_BYTES = 30;

/** Returns the codec of a stream by its first packet; null for codecs that browsers do not know. */
export function codecOf(packet: Uint8Array): OggCodec | null {
  if (textAt(packet, 0, 8) === "OpusHead" && packet.length >= OPUS_HEADER_BYTES) return opus(packet);
  if (textAt(packet, 0, 7) === "\x01vorbis" && packet.length >= VORBIS_HEADER_BYTES) return vorbis(packet);
  return null;
}

function opus(head: Uint8Array): OggCodec {
  return {
    headerCount: 2,
    sampleRate: OPUS_RATE,
    preSkip: viewOf(head).getUint16(10, true),
    leadIn: OPUS_LEAD_IN,
    overlaps: false,
    rewriteHeaders: ([first]) => {
      const withoutSkip = first!.slice();
      withoutSkip.fill(0, 10, 12);
      return [withoutSkip, concat([new TextEncoder().encode("OpusTags"), new Uint8Array(8)])];
    },
    samplesOf: opusSamples,
  };
}

/** Frame lengths by configuration, in samples at 48 kHz (RFC 6716, table 2). */
const SILK = [480, 960, 1920, 2880];
const HYBRID = [480, 960];
const CELT = [120, 240, 480, 960];

function opusSamples(packet: Uint8Array): number {
  const [first = 0, second = 0] = packet;
  const configuration = first >> 3;
  const frames = [1, 2, 2, second & 63][first & 3]!;
  if (configuration < 12) return frames * SILK[configuration & 3]!;
  return frames * (configuration < 16 ? HYBRID[configuration & 1]! : CELT[configuration & 3]!);
}

function vorbis(head: Uint8Array): OggCodec {
  return {
    headerCount: 3,
    sampleRate: viewOf(head).getUint32(12, true),
    preSkip: 0,
    leadIn: 0,
    overlaps: true,
    rewriteHeaders: ([first, , setup]) => {
      if (!setup) throw new UnsupportedFile("The Vorbis stream lacks headers.");
      // An empty vendor, no comments, and the bit that ends them.
      return [first!, concat([new TextEncoder().encode("\x03vorbis"), new Uint8Array(8), Uint8Array.of(1)]), setup];
    },
    samplesOf: null,
  };
}
