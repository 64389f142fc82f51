// Bundles src/ and style/ into ../static. Its output is committed, so it must depend on nothing but the sources:
// no dates, no paths of this machine, the bundler pinned by the lock file.
import { context, build } from "esbuild";

const options = {
  entryPoints: [
    { in: "src/main.tsx", out: "page" },
    { in: "style/page.css", out: "page" },
  ],
  outdir: "../static",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
  logLevel: "info",
};

if (process.argv.includes("--watch")) {
  await (await context(options)).watch();
} else {
  await build(options);
}
