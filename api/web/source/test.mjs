// Bundles each test of test/ and runs them with node's own runner:
//
//     node test.mjs            all tests
//     node test.mjs cuts       those whose file's name contains the word
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const [wanted = ""] = process.argv.slice(2);

/** A test that hangs is a failure; the slowest takes a fraction of this. */
const TIMEOUT_MILLISECONDS = 900_000;

const names = (await readdir("test")).filter((name) => name.endsWith(".test.ts") && name.includes(wanted));
if (names.length === 0) throw new Error(`There is no test of the name ${wanted}.`);
const folder = await mkdtemp(join(tmpdir(), "stemqueue-page-tests-"));
try {
  await build({
    entryPoints: [...names, "mutation_run.ts"].map((name) => join("test", name)),
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const files = names.map((name) => join(folder, name.replace(/\.ts$/, ".mjs")));
  const options = ["--enable-source-maps", "--test", "--test-concurrency=2", "--test-reporter=spec"];
  const { status } = spawnSync(process.execPath, [...options, ...files], { stdio: "inherit", timeout: TIMEOUT_MILLISECONDS });
  process.exitCode = status ?? 1;
} finally {
  await rm(folder, { recursive: true });
}
