// Checks how much of a file is read before a place far inside of it can be heard: what is opened, and the segments around it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { concat } from "../src/audio/containers/bytes";
import { openContainer } from "../src/audio/containers/open_container";
import { decode, encode, skip } from "./ffmpeg";
import { readerOf, type Counts } from "./read_bytes";
import { songWav } from "./song";

const SECONDS = 60;
const RATE = 44_100;
const MAX_BYTES = 100_000;

/** As `worker/audio_files/encode.py` writes MP3 files. */
const encodeMp3 = (kbps: number) => encode(songWav(SECONDS, RATE, 2), { output: "a.mp3", options: ["-c:a", "libmp3lame", "-b:a", `${kbps}k`, "-f", "mp3"] });

describe("a first seek in an MP3 stem", { skip }, () => {
  for (const kbps of [32, 128, 256, 320]) {
    it(`reads no more than 100 kB at ${kbps} kbit/s`, async () => {
      const bytes = encodeMp3(kbps);
      const counts: Counts = { reads: 0, bytes: 0 };
      const file = (await openContainer(readerOf(bytes, counts), bytes.length, RATE))!;
      const seconds = Math.max(1, Math.min(4, file.segmentSeconds!));
      // A second from here lies in two segments.
      for (const segment of [Math.floor(50.5 / seconds), Math.floor(51.5 / seconds)]) {
        await file.cut(segment * seconds * RATE, Math.min((segment + 1) * seconds, SECONDS) * RATE);
      }
      assert.ok(counts.bytes <= MAX_BYTES, `${counts.bytes} bytes of ${bytes.length}`);
    });
  }

  it("finds the same samples where the file has been put together from two", async () => {
    const [one, other] = [encodeMp3(128), encodeMp3(64)];
    // The encoder's tag counts the frames of the first half only; with its numbers changed it lies about all frames.
    const bytes = concat([one, other.subarray(4000)]);
    const view = new DataView(bytes.buffer);
    const tag = bytes.findIndex((_, at) => String.fromCharCode(...bytes.subarray(at, at + 4)) === "Info");
    view.setUint32(tag + 12, bytes.length - bytes.indexOf(0xff));
    view.setUint32(tag + 8, 2 * view.getUint32(tag + 8) - 10);
    const file = (await openContainer(readerOf(bytes), bytes.length, RATE))!;
    const cut = await file.cut(20 * RATE, 21 * RATE);
    const samples = decode(new Uint8Array(cut.file)).subarray(2 * cut.skip, 2 * (cut.skip + RATE));
    const expected = decode(one).subarray(2 * 20 * RATE, 2 * 21 * RATE);
    assert.ok(Math.max(...samples.map((sample, i) => Math.abs(sample - expected[i]!))) < 1e-3);
  });
});
