// A worker that compiles the stretcher's WebAssembly and hands it to the page. The page's policy forbids compiling; the
// response that brings this file allows it, and nothing else. Running what is compiled needs no permission.

const wasm = new URL("stretcher.wasm", import.meta.url);

void fetch(wasm)
  .then((response) => response.arrayBuffer())
  .then((bytes) => WebAssembly.compile(bytes))
  .then(
    (module) => postMessage({ module }),
    (error: unknown) => postMessage({ error: String(error) }),
  );

export {};
