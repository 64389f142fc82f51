// Bundles src/ and style/ into ../static, and copies Swagger UI for /docs beside them. The output is committed, so it depends
// on nothing but the sources: it contains no dates and no paths, and the lock file pins the bundler and Swagger UI.
//
//     node build.mjs            writes the files
//     node build.mjs --watch    writes them after each change
//     node build.mjs --verify   fails if the files are not what the sources give
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { build, context } from "esbuild";

const verify = process.argv.includes("--verify");

// Members of our own objects, whose long names the bundle does not need. No name here may be one of the browser's or of the
// server's JSON.
const OWN_MEMBERS = [
  ..."addTrack analyser applyLoop earliestFrame fadeIn findFrame findPageBefore gainOf granule hearingMixture".split(" "),
  ..."hearMixture indexFrames indexPagesFrom isMixturePlaying isSilenced isTransient keepPlaying knownNeighbours".split(" "),
  ..."leadIn mixedGain mixtureFault newContext openMixture pageAfter pieceAt playPiece preSkip readItems".split(" "),
  ..."readUntil retryAfterSeconds rewriteHeaders samplesOf scheduleSegments segmentsCovering segmentSamples".split(" "),
  ..."stemsAddUp strips totalFrames totalSamples unfinished waitUntil whileOpen zoomBy".split(" "),
];

const options = {
  entryPoints: [
    { in: "src/main.tsx", out: "page" },
    { in: "style/page.css", out: "page" },
  ],
  outdir: "../static",
  bundle: true,
  minify: true,
  mangleProps: new RegExp(`^(${OWN_MEMBERS.join("|")})$`),
  write: !verify,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
  logLevel: verify ? "warning" : "info",
};

// Slower playback: loaded only when it is wanted. The library is one file that the page and the audio worklet both load. It holds
// its WebAssembly as text, which becomes a file of its own, so that it is compiled once, and weighs less.
const LIBRARY = "node_modules/signalsmith-stretch/SignalsmithStretch.mjs";
const EMBEDDED_WASM = /(?<=data:application\/octet-stream;base64,)AGFzb[\w+/=]+/;
const NO_BYTES = "AAAA";

const stretcherOptions = {
  entryPoints: [{ in: LIBRARY, out: "stretcher" }],
  outdir: "../static/stretcher",
  bundle: true,
  minify: true,
  write: !verify,
  format: "esm",
  target: ["es2022"],
  plugins: [{ name: "without-wasm", setup: withoutWasm }],
  logLevel: options.logLevel,
};

function withoutWasm({ onLoad }) {
  onLoad({ filter: /SignalsmithStretch\.mjs$/ }, async ({ path }) => {
    const text = await readFile(path, "utf8");
    const globals = JSON.stringify(resolve("src/audio/stretcher/in_worklet.ts"));
    return { contents: `import { AudioWorkletProcessor, WebAssembly } from ${globals};\n${text.replace(EMBEDDED_WASM, NO_BYTES)}` };
  });
}

async function stretcherWasm() {
  const [text] = EMBEDDED_WASM.exec(await readFile(LIBRARY, "utf8"));
  return { path: "../static/stretcher/stretcher.wasm", contents: Buffer.from(text, "base64") };
}

// The licences come with the files that they cover.
const SWAGGER_UI = {
  "swagger-ui-bundle.js": "js/swagger-ui-bundle.js",
  "swagger-ui-bundle.js.LICENSE.txt": "js/swagger-ui-bundle.js.LICENSE.txt",
  "swagger-ui.css": "css/swagger-ui.css",
  LICENSE: "LICENSE",
  NOTICE: "NOTICE",
};

if (process.argv.includes("--watch")) {
  await (await context(options)).watch();
} else {
  const { outputFiles = [] } = await build(options);
  const { outputFiles: stretcherFiles = [] } = await build(stretcherOptions);
  for (const { path, contents } of [...outputFiles, ...stretcherFiles, ...(await copiedFiles())]) {
    const there = await readFile(path).catch(() => Buffer.alloc(0));
    if (verify && !there.equals(contents)) {
      console.error(`${path} is not what the sources give. Run "npm run build" and commit the result.`);
      process.exitCode = 1;
    }
  }
}

/** Returns the files that come from packages as they are, and writes them unless they are only to be verified. */
async function copiedFiles() {
  const files = await Promise.all(
    Object.entries(SWAGGER_UI).map(async ([name, path]) => ({
      path: `../static/swagger-ui/${path}`,
      contents: await readFile(`node_modules/swagger-ui-dist/${name}`),
    })),
  );
  files.push(await stretcherWasm());
  for (const { path, contents } of verify ? [] : files) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, contents);
  }
  return files;
}
