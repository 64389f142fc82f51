// Checks what follows the stretched time, and how loops snap to beats. AudioContext, the stretcher and the server are stand-ins.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Job } from "../src/api/types";
import type { Track } from "../src/audio/playback/track";
import { ORIGINAL_PACE, type Pace, type Stretcher } from "../src/audio/stretcher/stretcher";
import { Beats } from "../src/state/beats";
import { started, turn } from "./stand_in_context";

const LATENCY = 0.25;

/** Plays a track of a song at 1000 Hz; remembers what was scheduled, and how the stretcher was tuned. */
function playing() {
  const tuned: Pace[] = [];
  const scheduled: { from: number; to: number; when: number; rate: number }[] = [];
  const node = { connect: (target: unknown) => target, disconnect() {} };
  const load = async (): Promise<Stretcher> => ({ node: node as unknown as AudioNode, latency: LATENCY, tune: (pace) => tuned.push(pace) });
  const { context, transport } = started({}, load);
  const track: Track = {
    output: {} as GainNode,
    prepare: async () => undefined,
    schedule: (from, to, when, rate) => scheduled.push({ from, to, when, rate }),
    stop: () => scheduled.splice(0),
    close: () => undefined,
  };
  return { context, transport, track, scheduled, tuned };
}

describe("at half speed", () => {
  it("pieces last twice as long, and the play head follows what is heard", async () => {
    const { context, transport, track, scheduled, tuned } = playing();
    await transport.addTrack(track);
    await turn();
    await transport.setPace({ rate: 0.5, semitones: -2 });
    await turn();
    assert.deepEqual(tuned.at(-1), { rate: 0.5, semitones: -2 });
    const [first, second] = scheduled;
    assert.equal(first!.rate, 0.5);
    assert.ok(Math.abs(second!.when - first!.when - (first!.to - first!.from) / 1000 / 0.5) < 1e-9);
    assert.equal(second!.from, first!.to);
    // A second of the clock after the sound began, half a second of the song has been heard. The stretcher delays all of it.
    context.currentTime = first!.when + LATENCY + 1;
    assert.ok(Math.abs(transport.position() - (first!.from + 500)) < 1);
    transport.pause();
  });

  it("the song's own speed plays without the stretcher's delay", async () => {
    const { transport } = playing();
    await turn();
    await transport.setPace({ rate: 0.75, semitones: 0 });
    assert.equal(transport.delay.value, LATENCY);
    await transport.setPace(ORIGINAL_PACE);
    assert.equal(transport.delay.value, 0);
    transport.pause();
  });

  it("the last of several choices counts, and a transposition alone does not interrupt", async () => {
    const { transport, track, scheduled, tuned } = playing();
    await transport.addTrack(track);
    void transport.setPace({ rate: 0.5, semitones: 0 });
    await transport.setPace({ rate: 0.8, semitones: 1 });
    assert.deepEqual(tuned, [{ rate: 0.8, semitones: 1 }]);
    await turn();
    const before = [...scheduled];
    await transport.setPace({ rate: 0.8, semitones: 2 });
    assert.deepEqual(scheduled.slice(0, before.length), before);
    assert.equal(transport.playing.value, true);
    transport.pause();
  });

  it("goes on as before if the stretcher cannot be loaded", async () => {
    const { transport } = started({}, () => Promise.reject(new Error("no worklet")));
    await turn();
    await assert.rejects(transport.setPace({ rate: 0.5, semitones: 0 }));
    assert.equal(transport.playing.value, true);
    await transport.setPace(ORIGINAL_PACE);
    assert.equal(transport.delay.value, 0);
    transport.pause();
  });
});

describe("loops", () => {
  const beats = new Beats({} as Job, new AbortController().signal);
  beats.times.value = [0.5, 1, 1.5, 2.1];

  it("are left as they are without snapping", () => {
    beats.snapping.value = false;
    assert.deepEqual(beats.snap({ from: 0.6, to: 1.3 }), { from: 0.6, to: 1.3 });
  });

  for (const [from, to, expected] of [
    [0.6, 1.3, { from: 0.5, to: 1.5 }],
    [0.0, 0.2, { from: 0.5, to: 1 }],
    [1.4, 1.6, { from: 1.5, to: 2.1 }],
    [5, 9, { from: 1.5, to: 2.1 }],
    [1, 2.1, { from: 1, to: 2.1 }],
  ] as const) {
    it(`from ${from} to ${to} snap to ${expected.from} and ${expected.to}`, () => {
      beats.snapping.value = true;
      assert.deepEqual(beats.snap({ from, to }), expected);
    });
  }
});
