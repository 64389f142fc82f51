// The part of the library's interface that the page uses. The package has no types.

declare module "signalsmith-stretch" {
  export interface StretchNode extends AudioWorkletNode {
    /** Changes how sound is processed from now on. */
    schedule(change: { active: boolean; semitones: number; tonalityHz: number }): Promise<unknown>;
    configure(settings: { blockMs: number }): Promise<void>;
    /** Returns how much later, in seconds, sound leaves the node. */
    latency(): Promise<number>;
  }

  export interface SignalsmithStretch {
    (context: BaseAudioContext, options: AudioWorkletNodeOptions): Promise<StretchNode>;
    /** Where the worklet loads the library from. Without it, the library makes a blob, which the page's policy forbids. */
    moduleUrl?: string;
  }

  const create: SignalsmithStretch;
  export default create;
}
