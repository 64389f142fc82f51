// Checks what the play button shows when the browser stops the sound by itself.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { started, turn } from "./stand_in_context";

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
    assert.match(transport.fault.value ?? "", /blocked the sound/);
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
