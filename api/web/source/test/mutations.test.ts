// Opens ten thousand damaged files with each reader. Each call must end in a plausible result or in an UnsupportedFile, after
// few reads and without large allocations.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";

import { skip } from "./ffmpeg";
import { READERS } from "./mutated_files";

/** Only a reader that hangs takes this long, even on a busy machine. */
const TIMEOUT_MILLISECONDS = 300_000;

/** Enough for one of the small files; not for what a damaged number may ask for. */
const MAX_HEAP_MEGABYTES = 256;

describe("damaged files end in a result or a typed error", { skip }, () => {
  for (const reader of Object.keys(READERS)) {
    it(reader, async () => {
      const program = [`--max-old-space-size=${MAX_HEAP_MEGABYTES}`, "--enable-source-maps", join(import.meta.dirname, "mutation_run.mjs"), reader];
      const { stdout } = await promisify(execFile)(process.execPath, program, { timeout: TIMEOUT_MILLISECONDS });
      assert.match(stdout, /^10000 damaged files/);
    });
  }
});
