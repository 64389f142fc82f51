// Bundles src/ and style/ into ../static. The output is committed, so it depends on nothing but the sources: it contains no
// dates and no paths, and the lock file pins the bundler.
//
//     node build.mjs            writes the files
//     node build.mjs --watch    writes them after each change
//     node build.mjs --verify   fails if the files are not what the sources give
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { build, context } from "esbuild";

const verify = process.argv.includes("--verify");

const options = {
  entryPoints: [
    { in: "src/main.tsx", out: "page" },
    { in: "style/page.css", out: "page" },
  ],
  outdir: "../static",
  bundle: true,
  minify: true,
  write: !verify,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
  logLevel: verify ? "warning" : "info",
};

if (process.argv.includes("--watch")) {
  await (await context(options)).watch();
} else {
  const { outputFiles = [] } = await build(options);
  for (const { path, contents } of outputFiles) {
    const there = await readFile(path).catch(() => Buffer.alloc(0));
    if (!there.equals(contents)) {
      console.error(`static/${basename(path)} is not what the sources give. Run "npm run build" and commit the result.`);
      process.exitCode = 1;
    }
  }
}
