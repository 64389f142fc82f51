// Cuts files that ffmpeg made, and compares each cut with the same samples of the whole file, both decoded by ffmpeg.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { concat } from "../src/audio/containers/bytes";
import { box, boxesIn, words, type Box } from "../src/audio/containers/mp4/boxes";
import { findPages } from "../src/audio/containers/ogg/pages";
import { openContainer } from "../src/audio/containers/open_container";
import { decode, encode, skip, type Encoding } from "./ffmpeg";
import { installDecoder, readerOf } from "./read_bytes";
import { songWav } from "./song";

const SEGMENT_SECONDS = 4;

/** Lossy decoders need some frames to reach the very same state; what is left of the difference must be inaudible. */
const MAX_ERROR_DB = -70;

interface Kind extends Encoding {
  sampleRate: number;
  channels: number;
  seconds?: number;
  /** Whether cuts must be equal to the last bit. */
  isLossless?: boolean;
}

const STEREO = { sampleRate: 44_100, channels: 2 };
const MONO_48 = { sampleRate: 48_000, channels: 1 };
const STEREO_48 = { sampleRate: 48_000, channels: 2 };

/** Without noise substitution, which decodes differently each time. */
const AAC = ["-c:a", "aac", "-aac_pns", "0"];
const PICTURES = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=9", "-map", "1:v", "-map", "0:a", "-c:v", "mpeg4"];
const FLOATS = ["-c:a", "pcm_f32le", "-metadata", "title=Song"];
const IN_24_BITS = ["-sample_fmt", "s32", "-metadata", `comment=${"long ".repeat(20_000)}`];

const KINDS: Record<string, Kind> = {
  "WAV": { ...STEREO, output: "a.wav", isLossless: true },
  "WAV of floats, mono, with tags": { ...MONO_48, output: "a.wav", options: FLOATS, isLossless: true },
  "FLAC": { ...STEREO, seconds: 30, output: "a.flac", isLossless: true },
  "FLAC of 24 bits, mono, with large tags": { ...MONO_48, output: "a.flac", options: IN_24_BITS, isLossless: true },
  "MP3 of a constant bitrate": { ...STEREO, output: "a.mp3", options: ["-b:a", "128k"] },
  "MP3 as the worker writes it": { ...STEREO, seconds: 30, output: "a.mp3", options: ["-b:a", "256k"] },
  "MP3 of a low constant bitrate, mono": { ...MONO_48, seconds: 30, output: "a.mp3", options: ["-b:a", "32k"] },
  "MP3 of a variable bitrate, with tags": { ...STEREO, output: "a.mp3", options: ["-q:a", "4", "-metadata", "title=Song"] },
  "MP3 without tags": { ...STEREO, output: "a.mp3", options: ["-write_xing", "0", "-id3v2_version", "0"] },
  "MP3 of MPEG 2, mono": { sampleRate: 22_050, channels: 1, output: "a.mp3", options: ["-b:a", "48k"] },
  "M4A": { ...STEREO, output: "a.m4a", options: AAC },
  "M4A with its tables first, mono": { ...MONO_48, output: "a.m4a", options: [...AAC, "-movflags", "+faststart"] },
  "MOV with pictures": { ...STEREO, output: "a.mov", options: [...PICTURES, ...AAC] },
  "ALAC in M4A": { ...STEREO, output: "a.m4a", options: ["-c:a", "alac"], isLossless: true },
  "Ogg Vorbis": { ...STEREO, output: "a.ogg" },
  "Ogg Vorbis, long": { ...STEREO, seconds: 30, output: "a.ogg", options: ["-q:a", "9"] },
  "Ogg Opus": { ...STEREO_48, output: "a.opus" },
  "Ogg Opus of 20 kbit/s, mono": { ...MONO_48, output: "a.opus", options: ["-b:a", "20k"] },
};

describe("cuts are the same samples as those of the whole file", { skip, concurrency: 2 }, () => {
  installDecoder();
  for (const [name, kind] of Object.entries(KINDS)) it(name, () => checkCuts(encodeKind(kind), kind));

  it("Ogg Vorbis that was cut out of a longer file", () => {
    const kind = { ...STEREO, output: "a.ogg" };
    return checkCuts(dropPages(encodeKind(kind), OGG_VORBIS_HEADER_PAGES, 2), kind);
  });

  it("M4A with iTunes' note on its priming", () => {
    const kind = { ...STEREO, output: "a.m4a", options: [...AAC, "-use_editlist", "0"] };
    return checkCuts(withPriming(encodeKind(kind), 2048), kind);
  });
});

const OGG_VORBIS_HEADER_PAGES = 2;

/** Drops some pages of an Ogg file; the positions of the others stay. */
function dropPages(file: Uint8Array, from: number, count: number): Uint8Array {
  const pages = findPages(file, 0).flat();
  const bytes = pages.filter((_, place) => place < from || place >= from + count).map(({ offset, end }) => file.subarray(offset, end));
  return concat(bytes);
}

/** Appends the tag iTunSMPB to an MP4 file whose tables are its last box. */
function withPriming(file: Uint8Array, samples: number): Uint8Array {
  const text = (letters: string) => new TextEncoder().encode(letters);
  const hex = samples.toString(16).toUpperCase().padStart(8, "0");
  const note = text(` 00000000 ${hex} 00000000 0000000000000000`);
  const tag = box("----", box("mean", words(0), text("com.apple.iTunes")), box("name", words(0), text("iTunSMPB")), box("data", words(1, 0), note));
  const handler = box("hdlr", words(0, 0), text("mdirappl"), words(0, 0), new Uint8Array(1));
  const userData = box("udta", box("meta", words(0), handler, box("ilst", tag)));
  const rewrite = ({ name, content }: Box) => (name === "moov" ? box(name, withoutUserData(content), userData) : box(name, content));
  return concat(boxesIn(file).map(rewrite));
}

function withoutUserData(moov: Uint8Array): Uint8Array {
  return concat(boxesIn(moov).filter(({ name }) => name !== "udta").map(({ name, content }) => box(name, content)));
}

function encodeKind(kind: Kind): Uint8Array {
  return encode(songWav(kind.seconds ?? 9.3, kind.sampleRate, kind.channels), kind);
}

async function checkCuts(bytes: Uint8Array, { sampleRate, channels, isLossless = false }: Kind): Promise<void> {
  const whole = decode(bytes);
  const file = await openContainer(readerOf(bytes), bytes.length, sampleRate);
  assert.ok(file, "no reader knows the container");
  assert.equal(file.sampleRate, sampleRate);
  assert.equal(file.totalSamples, whole.length / channels);
  const { totalSamples } = file;
  // Out of order, as after a seek.
  const segments = Math.ceil(totalSamples / (SEGMENT_SECONDS * sampleRate));
  for (const index of [...new Set([0, segments - 1, Math.floor(segments / 2), 1])]) {
    const first = index * SEGMENT_SECONDS * sampleRate;
    const stop = Math.min(first + SEGMENT_SECONDS * sampleRate, totalSamples);
    const cut = await file.cut(first, stop);
    const samples = decode(new Uint8Array(cut.file)).subarray(cut.skip * channels, (cut.skip + stop - first) * channels);
    const expected = whole.subarray(first * channels, stop * channels);
    assert.equal(samples.length, expected.length, `segment ${index} has the wrong length`);
    if (isLossless) assert.deepEqual(samples, expected, `segment ${index} differs`);
    assert.ok(errorDb(samples, expected) < MAX_ERROR_DB, `segment ${index} is ${errorDb(samples, expected)} dB off`);
    // Makes sure that the comparison would notice a single sample.
    assert.ok(errorDb(samples.subarray(channels), expected) > MAX_ERROR_DB + 20);
  }
}

function errorDb(samples: Float32Array, expected: Float32Array): number {
  let [error, energy] = [0, 0];
  samples.forEach((sample, i) => {
    error += (sample - expected[i]!) ** 2;
    energy += expected[i]! ** 2;
  });
  return 10 * Math.log10(error / energy + 1e-30);
}
