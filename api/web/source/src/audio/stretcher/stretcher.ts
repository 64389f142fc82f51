// Undoes the change of pitch that slower playback brings, and transposes: the tracks play their samples slower, all at the same
// rate, and the stretcher lifts the pitch of their sum. So the stems cannot drift apart, whatever the stretcher does.

import type { StretchNode } from "signalsmith-stretch";

/**
 * The length of the stretcher's blocks. It works on sound that plays slower, so this is longer than the library's 120 ms:
 * bass notes become clearer, and attacks stay within 10 ms of their place.
 */
const BLOCK_MILLISECONDS = 150;

const SEMITONES_PER_OCTAVE = 12;

/** How the song is played: `rate` is 0.5 at half speed; `semitones` is by how much it is transposed. */
export interface Pace {
  rate: number;
  semitones: number;
}

export const ORIGINAL_PACE: Pace = { rate: 1, semitones: 0 };

export const isOriginal = ({ rate, semitones }: Pace): boolean => rate === 1 && semitones === 0;

export interface Stretcher {
  readonly node: AudioNode;
  /** How much later sound comes out, in seconds. It does not depend on the pace. */
  readonly latency: number;
  tune(pace: Pace): void;
}

/** Loads the stretcher. Throws if the browser cannot run it, for example because the page came without HTTPS. */
export async function openStretcher(context: AudioContext): Promise<Stretcher> {
  // Some browsers start worklets only in a context that runs.
  void context.resume();
  const library = new URL("stretcher/stretcher.js", import.meta.url).href;
  const module = await compile();
  const { default: create } = (await import(library)) as typeof import("signalsmith-stretch");
  create.moduleUrl = library;
  const node = await create(context, {
    outputChannelCount: [2],
    channelCount: 2,
    channelCountMode: "explicit",
    processorOptions: { module },
  });
  await node.configure({ blockMs: BLOCK_MILLISECONDS });
  keepRunning(context, node);
  return {
    node,
    latency: await node.latency(),
    tune: ({ rate, semitones }) => {
      const shift = semitones - SEMITONES_PER_OCTAVE * Math.log2(rate);
      // Harmonics above this frequency would be shifted less. They must return to where they were, so there is no limit.
      void node.schedule({ active: true, semitones: shift, tonalityHz: context.sampleRate });
    },
  };
}

async function compile(): Promise<WebAssembly.Module> {
  const response = await fetch(new URL("stretcher/stretcher.wasm", import.meta.url));
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Feeds silence: without any input the library would drop the last sounds instead of playing them. */
function keepRunning(context: AudioContext, node: StretchNode): void {
  const silence = new ConstantSourceNode(context, { offset: 0 });
  silence.connect(node);
  silence.start();
}
