// What Ogg files of each codec need to be cut: which packets are headers, how far before a cut decoding must begin.

import { joined, nameAt, NotSegmentable, viewOf } from "./cuttable";

export interface OggCodec {
  /** How many packets before the first with sound. */
  headers: number;
  sampleRate: number;
  /** Samples that the encoder put before the song, counted by positions. */
  preSkip: number;
  /** How many samples before a cut decoding begins. */
  leadIn: number;
  /** Whether a packet gives sound only together with the one before it. */
  overlaps: boolean;
  /** Returns the headers of a small file: nothing skipped, no pictures. */
  rewrite(headers: readonly Uint8Array[]): Uint8Array[];
  /** Returns how long a packet plays, where its first bytes tell; null where decoding has to. */
  samplesOf: ((packet: Uint8Array) => number) | null;
}

/** Opus asks for 80 ms before it is as if it had been decoded from the start; more is nearer. */
const OPUS_LEAD_IN = 24_000;
const OPUS_RATE = 48_000;

/** Returns the codec of a stream that begins with this packet, if a browser may know it. */
export function codecOf(packet: Uint8Array): OggCodec | null {
  if (nameAt(packet, 0, 8) === "OpusHead" && packet.length >= 19) return opus(packet);
  if (nameAt(packet, 0, 7) === "\x01vorbis" && packet.length >= 30) return vorbis(packet);
  return null;
}

function opus(head: Uint8Array): OggCodec {
  return {
    headers: 2,
    sampleRate: OPUS_RATE,
    preSkip: viewOf(head).getUint16(10, true),
    leadIn: OPUS_LEAD_IN,
    overlaps: false,
    rewrite: ([first]) => {
      const unskipped = first!.slice();
      unskipped.fill(0, 10, 12);
      return [unskipped, joined([new TextEncoder().encode("OpusTags"), new Uint8Array(8)])];
    },
    samplesOf: opusSamples,
  };
}

/** The lengths of Opus frames by their configuration, in samples at 48 kHz (RFC 6716, table 2). */
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
    headers: 3,
    sampleRate: viewOf(head).getUint32(12, true),
    preSkip: 0,
    leadIn: 0,
    overlaps: true,
    rewrite: ([first, , setup]) => {
      if (!setup) throw new NotSegmentable("The Vorbis stream lacks headers.");
      // No maker, no comments, and the bit that ends them.
      return [first!, joined([new TextEncoder().encode("\x03vorbis"), new Uint8Array(8), Uint8Array.of(1)]), setup];
    },
    samplesOf: null,
  };
}
