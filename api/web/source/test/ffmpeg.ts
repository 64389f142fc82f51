// Finds and runs ffmpeg, which makes the test files and decodes what the readers cut.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MAX_OUTPUT_BYTES = 1 << 28;

/** Without random ids and version numbers, so that the same input gives the same file. */
const BITEXACT = ["-fflags", "+bitexact", "-flags", "+bitexact"];

/** Where `make lint` installs the Python tests' ffmpeg, seen from the folder of package.json. */
const TEST_ENVIRONMENT = "../../../.venv-test/lib";

/** The ffmpeg that FFMPEG names, else the Python tests' own, else the one on the PATH; undefined if there is none. */
export const ffmpeg = [process.env.FFMPEG, ...findInstalled(), "ffmpeg"].find((path) => path && isRunnable(path));

/** Why the tests that need ffmpeg are skipped; false if they run. In CI they fail instead. */
export const skip = ffmpeg || process.env.CI ? false : "no ffmpeg: run `make lint`, or set FFMPEG to the program's path";

export interface Encoding {
  /** ffmpeg's options: those before the input, those after it, and the name of the output. */
  before?: string[];
  options?: string[];
  output: string;
}

/** Converts a file and returns the result's bytes. */
export function encode(input: Uint8Array, { before = [], options = [], output }: Encoding): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), "stemqueue-page-"));
  try {
    writeFileSync(join(folder, "input"), input);
    run([...before, "-i", join(folder, "input"), ...options, ...BITEXACT, join(folder, output)]);
    return new Uint8Array(readFileSync(join(folder, output)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Decodes a file's audio; returns its samples, interleaved by channel. `options` go to ffmpeg. */
export function decode(file: Uint8Array, options: string[] = []): Float32Array {
  const folder = mkdtempSync(join(tmpdir(), "stemqueue-page-"));
  try {
    writeFileSync(join(folder, "input"), file);
    const raw = run(["-i", join(folder, "input"), "-map", "0:a:0", ...options, "-f", "f32le", "pipe:1"]);
    return new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(options: string[]): Buffer {
  if (!ffmpeg) throw new Error("There is no ffmpeg: run `make lint`, or set FFMPEG to the program's path.");
  return execFileSync(ffmpeg, ["-v", "fatal", "-nostdin", "-y", ...options], { maxBuffer: MAX_OUTPUT_BYTES });
}

function findInstalled(): string[] {
  try {
    return readdirSync(TEST_ENVIRONMENT).flatMap((python) => {
      const folder = join(TEST_ENVIRONMENT, python, "site-packages", "imageio_ffmpeg", "binaries");
      return readdirSync(folder).filter((name) => name.startsWith("ffmpeg-")).map((name) => join(folder, name));
    });
  } catch {
    return [];
  }
}

function isRunnable(path: string): boolean {
  try {
    execFileSync(path, ["-version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
