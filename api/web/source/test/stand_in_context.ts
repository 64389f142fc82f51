// STAND-INS for the browser: an AudioContext whose clock stands still unless a test moves it. Node has none.

import { Transport } from "../src/audio/playback/transport";
import type { Stretcher } from "../src/audio/stretcher/stretcher";

export class StandInContext extends EventTarget {
  state: AudioContextState | "interrupted" = "suspended";
  /** Whether the browser lets the sound start. */
  mayStart = true;
  currentTime = 0;
  sampleRate = 1000;
  baseLatency = 0;
  outputLatency = 0;
  destination = {};

  createGain() {
    const gain = { cancelScheduledValues() {}, setTargetAtTime() {}, setValueAtTime() {}, linearRampToValueAtTime() {} };
    return { gain, connect: (target: unknown) => target, disconnect() {} };
  }

  /** Never resolves while the browser keeps the sound off, as the standard says. */
  resume(): Promise<void> {
    if (!this.mayStart) return new Promise(() => undefined);
    this.become("running");
    return Promise.resolve();
  }

  become(state: AudioContextState | "interrupted"): void {
    this.state = state;
    this.dispatchEvent(new Event("statechange"));
  }
}

Object.assign(globalThis, { window: globalThis });

/** Returns a transport of a song of a minute at 1000 Hz, which plays. */
export function started(
  changes: Partial<StandInContext> = {},
  loadStretcher?: () => Promise<Stretcher>,
): { context: StandInContext; transport: Transport } {
  const context = Object.assign(new StandInContext(), changes);
  const transport = new Transport(context as unknown as AudioContext, 60_000, loadStretcher);
  transport.play();
  return { context, transport };
}

export const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
