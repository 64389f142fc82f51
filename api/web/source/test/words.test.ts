// Checks numbers, times and sizes as text.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ago, capitalised, formatBytes, formatDb, formatExactTime, formatFrequency, formatPercent, formatSpan, formatTime, plural, spokenTime } from "../src/words/numbers";
import { engineFacts } from "../src/words/home";

/** Checks a function against pairs of an argument and its result. */
function checkAll<T>(format: (value: T) => string, cases: [T, string][]): void {
  for (const [value, expected] of cases) assert.equal(format(value), expected);
}

describe("numbers as text", () => {
  it("times", () => checkAll(formatTime, [[0, "0:00"], [-1, "0:00"], [59.99, "0:59"], [60, "1:00"], [3599, "59:59"], [3600, "1:00:00"], [36_061, "10:01:01"]]));
  it("exact times", () => checkAll(formatExactTime, [[0, "0:00.0"], [9.96, "0:10.0"], [59.96, "1:00.0"], [61.24, "1:01.2"]]));
  it("spoken times", () => checkAll(spokenTime, [[1, "1 second"], [61, "1 minute 1 second"], [120, "2 minutes 0 seconds"]]));
  it("durations", () => checkAll(formatSpan, [[0.4, "a moment"], [20, "20 s"], [90, "2 min"], [5400, "1.5 h"], [7200, "2 h"]]));
  it("sizes", () => checkAll(formatBytes, [[999, "999 bytes"], [1000, "1 kB"], [5_292_044, "5.3 MB"], [53e6, "53 MB"], [2e12, "2000 GB"]]));
  it("levels", () => checkAll(formatDb, [[null, "silent"], [-14.04, "−14.0 dB"], [0, "0.0 dB"]] as [number | null, string][]));
  it("shares are rounded down", () => checkAll(formatPercent, [[0, "0 %"], [0.999, "99 %"], [1, "100 %"]]));
  it("frequencies", () => checkAll(formatFrequency, [[500, "500 Hz"], [2000, "2 kHz"]]));
  it("counts with nouns", () => checkAll((count) => plural(count, "song"), [[0, "0 songs"], [1, "1 song"], [1234, "1,234 songs"]]));
  it("capitals", () => checkAll(capitalised, [["", ""], ["vocals", "Vocals"]]));
  it("times ago", () => checkAll((seconds: number) => ago(new Date(Date.now() - 1000 * seconds).toISOString()), [[5, "just now"], [50, "1 min ago"], [1800, "30 min ago"], [7200, "2 h ago"]]));
});

describe("facts about an engine", () => {
  const engine = {
    name: "m", version: "1", title: "M", summary: "", stems: ["vocals"], derived_stems: [], presets: [], default_preset: "standard",
    parameters: [], author: "Nobody", licence: "Free.", licence_source: "", scores_from: "ten songs", real_time_factor: 2,
    memory_bytes: 700e6, waiting_for: null,
  };
  const preset = { name: "standard", description: "", parameters: {}, scores: { vocals_sdr_db: 8.24 }, min_seconds: 0, max_seconds: null };
  it("all of them", () =>
    assert.deepEqual(engineFacts(engine, preset), [
      "SDR: vocals 8.2 dB, on ten songs.",
      "A song of four minutes takes about 2 min and 700 MB of memory here.",
      "By Nobody.",
      "Licence: Free.",
    ]));
  it("of an engine that tells none", () =>
    assert.deepEqual(engineFacts({ ...engine, author: "", licence: "", real_time_factor: null, memory_bytes: null }, undefined), []));
});
