// Checks what the play button shows when the browser stops the sound by itself. AudioContext is a stand-in: node has none.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Transport } from "../src/audio/playback/transport";

class StandInContext extends EventTarget {
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
    return { gain, connect() {} };
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

function started(changes: Partial<StandInContext> = {}): { context: StandInContext; transport: Transport } {
  const context = Object.assign(new StandInContext(), changes);
  const transport = new Transport(context as unknown as AudioContext, 60_000);
  transport.play();
  return { context, transport };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("the play button", () => {
  for (const state of ["suspended", "interrupted"] as const) {
    it(`says play again when the context is ${state}`, async () => {
      const { context, transport } = started();
      await turn();
      assert.equal(transport.playing.value, true);
      context.become(state);
      assert.equal(transport.playing.value, false);
      assert.equal(transport.fault.value, null);
      transport.play();
      await turn();
      assert.equal(transport.playing.value, true);
      transport.pause();
    });
  }

  it("says play again when the browser never starts the sound", async () => {
    const { transport } = started({ mayStart: false });
    for (let tries = 0; transport.playing.value && tries < 4000; tries++) await turn();
    assert.equal(transport.playing.value, false);
    assert.match(transport.fault.value ?? "", /sound off/);
  });

  it("keeps saying pause after a seek", async () => {
    const { transport } = started();
    await turn();
    transport.seek(5000);
    await turn();
    assert.equal(transport.playing.value, true);
    transport.pause();
  });
});
