// Takes the place of two globals in the library's file. The library would compile its WebAssembly in the worklet; with these it
// uses what the page has compiled, which arrives in the options of each node.

let compiled: WebAssembly.Module | undefined;

/** In the page, where the same file is loaded to create nodes, there are no processors. */
const Processor = (globalThis as { AudioWorkletProcessor?: new (options: unknown) => object }).AudioWorkletProcessor;

export const AudioWorkletProcessor =
  Processor &&
  class extends Processor {
    constructor(options: { processorOptions: { module: WebAssembly.Module } }) {
      super(options);
      compiled = options.processorOptions.module;
    }
  };

const native = globalThis.WebAssembly;

const withCompiled = {
  RuntimeError: Error,
  instantiate: async (_bytes: unknown, imports: WebAssembly.Imports) => ({ instance: new native.Instance(compiled!, imports) }),
};

export { withCompiled as WebAssembly };
