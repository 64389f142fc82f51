// Files made to keep a reader busy: each is small and claims to be huge. Without its limit each of these hangs, or fills the
// memory. And one rule that keeps the readers testable: they import nothing of playback, views or state.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

import { UnsupportedFile } from "../src/audio/containers/audio_file";
import { concat } from "../src/audio/containers/bytes";
import { box, words } from "../src/audio/containers/mp4/boxes";
import { openContainer } from "../src/audio/containers/open_container";
import { readerOf, type Counts } from "./read_bytes";

const MANY = 0xffffffff;

const text = (letters: string) => new TextEncoder().encode(letters);

async function assertRefused(file: Uint8Array, maxReads: number): Promise<void> {
  const counts: Counts = { reads: 0, bytes: 0 };
  await assert.rejects(openContainer(readerOf(file, counts), file.length, null), UnsupportedFile);
  assert.ok(counts.reads <= maxReads, `${counts.reads} reads`);
}

/** An MP4 file of one audio track. */
function mp4(tables: Uint8Array[], ...boxes: Uint8Array[]): Uint8Array {
  const handler = box("hdlr", words(0, 0), text("soun"), words(0, 0, 0));
  const media = box("mdia", box("mdhd", words(0, 0, 0, 48_000, 0, 0)), handler, box("minf", box("stbl", box("stsd", words(0, 0)), ...tables)));
  const track = box("trak", box("tkhd", words(0, 0, 0, 1, 0)), media);
  const [extends_ = new Uint8Array(0), ...others] = boxes;
  return concat([box("ftyp", text("M4A ")), box("moov", track, extends_), ...others]);
}

describe("hostile files are refused at once", () => {
  const sizes = box("stsz", words(0, 1, 4));
  const times = box("stts", words(0, 1, 4, 1024));

  it("MP4 whose chunks are four thousand million empty ones", async () => {
    const chunks = box("stsc", words(0, 3, 1, 0, 1, MANY, 0, 1, MANY, 4, 1));
    await assertRefused(mp4([sizes, times, chunks, box("stco", words(0, 1, 8))]), 20);
  });

  it("MP4 with four thousand million chunks in a table of one", async () => {
    await assertRefused(mp4([sizes, times, box("stsc", words(0, 1, 1, 4, 1)), box("stco", words(0, MANY, 8))]), 20);
  });

  it("MP4 with more frames than bytes", async () => {
    await assertRefused(mp4([box("stsz", words(0, 1, 4_000_000)), times, box("stsc", words(0, 1, 1, 4, 1)), box("stco", words(0, 1, 8))]), 20);
  });

  it("MP4 in fragments", async () => {
    await assertRefused(mp4([], box("mvex")), 20);
  });

  it("MP3 behind a hundred thousand ID3 tags", async () => {
    const tag = concat([text("ID3"), new Uint8Array(7)]);
    await assertRefused(concat(new Array<Uint8Array>(100_000).fill(tag)), 30);
  });

  it("Ogg whose headers are spread over a hundred thousand pages", async () => {
    const page = (flags: number, ...lacing: number[]) => concat([text("OggS"), Uint8Array.of(0, flags), new Uint8Array(20), Uint8Array.of(lacing.length, ...lacing)]);
    const head = concat([text("OpusHead"), Uint8Array.of(1, 2), new Uint8Array(9)]);
    const rest = new Array<Uint8Array>(100_000).fill(page(0));
    await assertRefused(concat([page(2, head.length), head, ...rest]), 10);
  });
});

describe("folders", () => {
  it("the readers import only each other", () => {
    const folder = join("src", "audio", "containers");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
    assert.ok(files.length > 10);
    for (const name of files) {
      for (const [, path = ""] of readFileSync(join(folder, name), "utf8").matchAll(/from "([^"]+)"/g)) {
        assert.ok(join(folder, name, "..", path).startsWith(folder), `${name} imports ${path}`);
      }
    }
  });
});
