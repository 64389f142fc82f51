var t=new URL("stretcher.wasm",import.meta.url);fetch(t).then(e=>e.arrayBuffer()).then(e=>WebAssembly.compile(e)).then(e=>postMessage({module:e}),e=>postMessage({error:String(e)}));
