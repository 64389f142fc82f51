// Opens damaged files with one reader: node mutation_run.mjs <reader>. It is a program of its own because node's test runner
// slows promises down, and because a reader that hangs can then be stopped.

import assert from "node:assert/strict";

import { UnsupportedFile } from "../src/audio/containers/audio_file";
import { openContainer } from "../src/audio/containers/open_container";
import { allocated, countAllocations } from "./allocations";
import { encode } from "./ffmpeg";
import { mutate } from "./mutate";
import { READERS } from "./mutated_files";
import { installDecoder, readerOf, type Counts } from "./read_bytes";
import { seededRandom, songWav } from "./song";

const MUTATIONS = 10_000;

/** What one call to open or cut may read: searching takes some dozens of reads, which in a small file may each read all of it. */
const MAX_READS = 64;
const MAX_FILES_READ = 40;

/** The largest single allocation, as a multiple of the file and at least. */
const MAX_ALLOCATED_FILES = 4;
const MIN_ALLOCATION_LIMIT = 65_536;

/** The most that a call took: reads, bytes read as multiples of the file, bytes allocated at once. */
const most = { reads: 0, files: 0, allocation: 0 };

async function runMutations(reader: string): Promise<void> {
  const song = songWav(0.8, 16_000, 1);
  const files = READERS[reader]!.map((encoding) => encode(song, encoding));
  countAllocations();
  installDecoder(() => 1024);
  const random = seededRandom(reader.length + reader.charCodeAt(0));
  let opened = 0;
  for (let run = 0; run < MUTATIONS; run++) {
    const damaged = mutate(files[run % files.length]!, random);
    opened += await checkEnds(damaged, `${reader}, run ${run}`);
  }
  // Otherwise the mutations are so coarse that they test only the first check.
  assert.ok(opened > MUTATIONS / 10, `only ${opened} files could be opened`);
  assert.ok(opened < MUTATIONS, "no mutation did any harm");
  console.log(`${MUTATIONS} damaged files, of which ${opened} could be opened; at most`, most);
}

/** Opens a file, cuts it in two places, and checks what that took. Returns 1 if the file could be opened, else 0. */
async function checkEnds(file: Uint8Array, run: string): Promise<number> {
  const counts: Counts = { reads: 0, bytes: 0 };
  // Any name is good: the reader is chosen by content, and a damaged beginning may choose another one.
  const audio = await measured(() => openContainer(readerOf(file, counts), file.length, null), counts, file, run);
  if (!audio) return 0;
  const { sampleRate, totalSamples } = audio;
  assert.ok(Number.isInteger(sampleRate) && sampleRate > 0, `${run}: ${sampleRate} Hz`);
  assert.ok(Number.isInteger(totalSamples) && totalSamples > 0, `${run}: ${totalSamples} samples`);
  const length = Math.min(totalSamples, sampleRate / 2);
  for (const first of [Math.floor((totalSamples - length) / 2), totalSamples - length].map(Math.floor)) {
    const cut = await measured(() => audio.cut(first, first + length), counts, file, run);
    if (!cut) continue;
    assert.ok(Number.isInteger(cut.skip) && cut.skip >= 0, `${run}: skips ${cut.skip} samples`);
    assert.ok(cut.file.byteLength < 2 * file.length + 65_536, `${run}: a cut of ${cut.file.byteLength} bytes`);
  }
  return 1;
}

/** Runs one call. Returns undefined if it ended in an UnsupportedFile; fails with any other error, and if it took too much. */
async function measured<T>(call: () => Promise<T>, counts: Counts, file: Uint8Array, run: string): Promise<T | undefined> {
  Object.assign(counts, { reads: 0, bytes: 0 });
  allocated.largest = 0;
  let result: T | undefined;
  try {
    result = await call();
  } catch (error) {
    if (!(error instanceof UnsupportedFile)) throw new Error(`${run}: not a typed error`, { cause: error });
  }
  most.reads = Math.max(most.reads, counts.reads);
  most.files = Math.max(most.files, counts.bytes / Math.max(1, file.length));
  most.allocation = Math.max(most.allocation, allocated.largest);
  assert.ok(counts.reads <= MAX_READS, `${run}: ${counts.reads} reads`);
  assert.ok(counts.bytes <= MAX_FILES_READ * file.length + 65_536, `${run}: ${counts.bytes} bytes read of ${file.length}`);
  const limit = Math.max(MIN_ALLOCATION_LIMIT, MAX_ALLOCATED_FILES * file.length);
  assert.ok(allocated.largest <= limit, `${run}: ${allocated.largest} bytes allocated at once`);
  return result;
}

await runMutations(process.argv[2]!);
